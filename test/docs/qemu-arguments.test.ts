import test from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../scripts/command.ts';
import { stepsOf } from './console.ts';
import { blocksOf, readDocument } from './documents.ts';

/** The arguments that the document has Proxmox give to QEMU. */
async function documentedArguments(): Promise<readonly string[]> {
  const blocks = blocksOf('docs/qemu.md', await readDocument('docs/qemu.md'));
  const steps = blocks.filter(({ language }) => language === 'console').flatMap(stepsOf);
  const [, text = ''] =
    steps.map(({ command }) => /^qm set \d+ --args '(.*)'$/.exec(command) ?? []).find(([all]) => all) ?? [];
  return text.split(' ');
}

test('docs/qemu.md: QEMU takes the arguments that Proxmox is to be given, but for vsock, of which it knows the words', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-docs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const args = (await documentedArguments()).map((word) => word.replace('/run/docker-volume-vmdk', folder));
  t.is(args.length, 6);
  const vsock = args.findIndex((word) => word.startsWith('vhost-vsock-pci'));
  // It needs /dev/vhost-vsock, a module of the host's kernel.
  const [, ...properties] = args[vsock]?.split(',') ?? [];
  const taken = args.filter((_, index) => index !== vsock && index !== vsock - 1);
  const machine = ['-machine', 'pc', '-nodefaults', '-display', 'none', '-S', '-m', '32'];
  // A monitor at its standard input ends QEMU with it.
  const script = 'echo quit | exec qemu-system-x86_64 "$@" -monitor stdio';
  const ran = await runCommand(['sh', '-c', script, 'sh', ...machine, ...taken], { env: process.env });
  t.is(ran.code, 0, `QEMU said: ${ran.stderr}`);
  const help = await runCommand(['qemu-system-x86_64', '-device', 'vhost-vsock-pci,help'], { env: process.env });
  for (const property of properties.filter((each) => !each.startsWith('bus='))) {
    t.true(help.stdout.includes(`  ${property.split('=')[0]}=`), `no property ${property}`);
  }
});
