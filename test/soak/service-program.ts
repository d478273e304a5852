/** The service as a process of its own, with two datastores and one VM, whose socket the link leads to. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../docker/harness/daemon.ts';
import { getJson } from './get-json.ts';
import { Program } from './program.ts';
import { datastores, defaultDatastore } from './roster.ts';

const root = join(import.meta.dirname, '../..');

export interface ServicePlaces {
  readonly folder: string;
  /** Where the VM's guest is to connect. */
  readonly vmSocket: string;
  readonly adminSocket: string;
  readonly configFile: string;
}

export function servicePlaces(folder: string): ServicePlaces {
  const at = (name: string): string => join(folder, name);
  return { folder, vmSocket: at('vm.sock'), adminSocket: at('vmdkopsd.sock'), configFile: at('esx-service.json') };
}

export function datastoreFolder(folder: string, name: string): string {
  return join(folder, 'datastores', name);
}

/** Not started yet. */
export async function serviceProgram(places: ServicePlaces): Promise<Program> {
  const { folder, vmSocket, adminSocket, configFile } = places;
  for (const name of datastores) await mkdir(datastoreFolder(folder, name), { recursive: true });
  const config = {
    hypervisor: 'loop',
    datastores: Object.fromEntries(datastores.map((name) => [name, datastoreFolder(folder, name)])),
    defaultDatastore,
    vms: [{ name: 'soak', socket: vmSocket }],
    adminSocket,
  };
  await writeFile(configFile, JSON.stringify(config));
  return new Program({
    name: 'vmdkopsd',
    launch: () =>
      Daemon.start({
        name: 'vmdkopsd',
        command: [join(root, 'bin/vmdkopsd'), '--config', configFile],
        env: cleanEnvironment(),
        logFile: join(folder, 'vmdkopsd.log'),
      }),
    isReady: () => answers(adminSocket),
  });
}

/** Variables of our own name are configuration to the programs. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VMDK_')));
}

export async function answers(socketPath: string, path = '/v1/status'): Promise<boolean> {
  return getJson(socketPath, path).then(
    () => true,
    () => false,
  );
}
