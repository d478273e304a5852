/** The manual pages. What the programs check or list by themselves is taken from there. */
import { flagOf, variableOf } from '../../common/config.ts';
import { optionTable } from '../../common/volume-options.ts';
import { serviceConfigFile } from '../../esx-service/config.ts';
import { columnKeys } from '../../esx-service/core/volume-table.ts';
import { pluginConfigFile } from '../../plugin/config.ts';
import { type Key, pluginKeys, serviceKeys, vmKeys } from './configuration.ts';
import type { Page, Part } from './roff.ts';

const seeAlso = (...pages: readonly string[]): Part => ({
  heading: 'See also',
  blocks: [pages.map((page) => `\`${page}\``).join(', ')],
});

const rules =
  'Every key of the file is also a flag and an environment variable. A flag goes before a variable, a variable before the file, and the file before the default. What is not plain text is written as JSON. `--no-` before the name of a boolean flag switches it off. An unknown key or a bad value ends the start with one line that says what is allowed.';

const exit: Part = {
  heading: 'Exit status',
  blocks: [
    '0 after an orderly stop by SIGTERM or SIGINT; 1 when the start failed, or the stop took longer than 10 seconds.',
  ],
};

const logs: Part = {
  heading: 'Logs',
  blocks: ['One line of JSON for each event, on standard error.'],
};

const plugin: Page = {
  name: 'vmdk-plugin',
  section: 8,
  title: "Docker's volume driver whose volumes are virtual disks",
  parts: [
    { heading: 'Synopsis', blocks: ['`vmdk-plugin` [`--config` FILE] [`--embedded`] [`--service` ADDRESS] [OPTION…]'] },
    {
      heading: 'Description',
      blocks: [
        'Serves Docker on a Unix socket: attaches the disk of a volume to this machine, formats it if it never was, mounts it, and lets it go after the last container. It talks to `vmdkopsd`, which has the disks; with `--embedded` that runs in the same process.',
        'Mounts live on when it stops or is killed. The next start takes them up.',
      ],
    },
    { heading: 'Options', blocks: [rules, options(pluginKeys(), pluginConfigFile)] },
    exit,
    logs,
    {
      heading: 'Health',
      blocks: [
        '`GET /health` and `GET /metrics` (Prometheus) are answered on the same socket.',
        { code: ['curl --unix-socket /run/docker/plugins/vmdk.sock http://localhost/health'] },
      ],
    },
    seeAlso('vmdkopsd(8)', 'vmdkops(8)', 'docker-volume-vmdk(7)'),
  ],
};

const service: Page = {
  name: 'vmdkopsd',
  section: 8,
  title: 'service that has the disks of docker-volume-vmdk and attaches them to virtual machines',
  parts: [
    { heading: 'Synopsis', blocks: ['`vmdkopsd` [`--config` FILE] [OPTION…]'] },
    {
      heading: 'Description',
      blocks: [
        'Keeps volumes as VMDKs in folders, the datastores, and gives each to one virtual machine at a time. It answers `vmdk-plugin` over vsock or a Unix socket, and `vmdkops` on its admin socket.',
        'Disks stay attached when it stops or is killed. The next start asks the hypervisor what is attached.',
      ],
    },
    { heading: 'Options', blocks: [rules, options(serviceKeys(), serviceConfigFile)] },
    { heading: 'Each of vms', blocks: [{ terms: vmKeys().map((key) => [`\`${key.key}\``, textOf(key)]) }] },
    exit,
    logs,
    {
      heading: 'Example',
      blocks: [
        {
          code: [
            '{',
            '  "datastores": { "local": "/srv/vmdk" },',
            '  "vms": [{ "name": "web", "socket": "/run/docker-volume-vmdk/web.sock" }]',
            '}',
          ],
        },
      ],
    },
    seeAlso('vmdk-plugin(8)', 'vmdkops(8)', 'docker-volume-vmdk(7)'),
  ],
};

const admin: Page = {
  name: 'vmdkops',
  section: 8,
  title: 'look after the volumes of docker-volume-vmdk',
  parts: [
    { heading: 'Synopsis', blocks: ['`vmdkops` [`--socket` PATH] [`--json`] COMMAND'] },
    {
      heading: 'Commands',
      blocks: [
        {
          terms: [
            [
              '`volume ls` [`-c`, `--columns` KEYS]',
              `List all volumes; only these columns, by comma: ${columnKeys.join(', ')}.`,
            ],
            [
              '`volume inspect` NAME…',
              'Print all that is known of volumes, as JSON. A name may have its `@datastore`.',
            ],
            ['`status`', 'Say how the service is: datastores, virtual machines and what they hold, problems, locks.'],
            [
              '`check`',
              'Compare the volumes with what is attached and with what the datastores hold, and mend what differs.',
            ],
            ['`help` [COMMAND]', 'Tell how it is used.'],
          ],
        },
      ],
    },
    {
      heading: 'Options',
      blocks: [
        {
          terms: [
            ['`--socket` PATH', "The service's admin socket; `/run/docker-volume-vmdk/admin.sock` when not given."],
            ['`--json`', 'Print JSON.'],
            ['`-V`, `--version`', 'Print the version.'],
            ['`-h`, `--help`', 'Tell how it is used.'],
          ],
        },
      ],
    },
    { heading: 'Exit status', blocks: ['0 done; 2 failed, with one line that begins with ERROR:; 3 wrong arguments.'] },
    seeAlso('vmdkopsd(8)', 'docker-volume-vmdk(7)'),
  ],
};

const overview: Page = {
  name: 'docker-volume-vmdk',
  section: 7,
  title: 'Docker volumes that are virtual disks',
  parts: [
    {
      heading: 'Description',
      blocks: [
        'Each volume is a VMDK on a datastore, attached to the machine that runs the container, formatted once, mounted, and let go after the last container. It can then be attached elsewhere, with its data.',
        {
          code: [
            'docker volume create -d vmdk -o size=10gb -o fstype=xfs db',
            'docker run -v db:/var/lib/postgresql/data postgres',
          ],
        },
        'A name is `name`, on the default datastore, or `name@datastore`.',
      ],
    },
    {
      heading: 'Options of docker volume create',
      blocks: [
        {
          terms: Object.entries(optionTable).map(([name, { allowed, default: preset }]) => [
            `\`-o ${name}=\``,
            `${capital(allowed)}. Default: ${preset}.`,
          ]),
        },
      ],
    },
    {
      heading: 'Files',
      blocks: [
        {
          terms: [
            [`\`${pluginConfigFile}\``, 'The configuration of `vmdk-plugin`.'],
            [`\`${serviceConfigFile}\``, 'The configuration of `vmdkopsd`.'],
            ['`DATASTORE/dockvols/_DEFAULT`', 'The volumes: `NAME.vmdk`, `NAME-flat.vmdk` and `NAME.vmdk.json` each.'],
          ],
        },
      ],
    },
    seeAlso('vmdk-plugin(8)', 'vmdkopsd(8)', 'vmdkops(8)', 'docker(1)'),
  ],
};

export const pages: readonly Page[] = [plugin, service, admin, overview];

function options(keys: readonly Key[], file: string): { readonly terms: readonly (readonly [string, string])[] } {
  return {
    terms: [
      ['`--config` FILE', `The file to read, which must exist. Without it \`${file}\` is read.`],
      ...keys.map(
        (key) => [`\`${flagOf(key.key)}\`, \`${variableOf(key.key)}\`, \`"${key.key}"\``, textOf(key)] as const,
      ),
    ],
  };
}

function textOf({ text, allowed, default: preset, isRequired }: Key): string {
  const more = isRequired ? ' Required.' : preset === undefined ? '' : ` Default: ${preset}.`;
  return `${text} Allowed: ${allowed.replaceAll('`', '')}.${more}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
