/** What all actors of a storm share. */
import { join } from 'node:path';
import type { Surroundings } from './bed.ts';
import type { History } from './history.ts';
import { Lives } from './lives.ts';
import { Model } from './model.ts';
import type { Roster, VolumeId } from './roster.ts';

/** Stands in the model for every mount ID that dockerd chose. */
export const anonymousId = 'of dockerd';

export interface Scene {
  readonly model: Model;
  readonly history: History;
  readonly lives: Lives;
  readonly pluginSocket: string;
  readonly mountRoot: string;
  /** Where the root of the plugin's mount namespace can be reached from here, whether the plugin runs or not. */
  readonly rootFolder: string;
  readonly signal: AbortSignal;
}

/** Nothing has happened yet. */
export function sceneOf(roster: Roster, history: History, around: Surroundings, signal: AbortSignal): Scene {
  const { pluginSocket, mountRoot, rootFolder } = around;
  return { model: new Model(roster), history, lives: new Lives(), pluginSocket, mountRoot, rootFolder, signal };
}

/** As the plugin answers it. */
export function mountpointOf({ mountRoot }: Scene, { datastore, name }: VolumeId): string {
  return join(mountRoot, datastore, name);
}

/** The same folder, reached from here. */
export function folderOf(scene: Scene, volume: VolumeId): string {
  return join(scene.rootFolder, mountpointOf(scene, volume));
}
