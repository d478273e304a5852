/** In which form and with which dockerd a whole run is tested, as its environment says. */
import process from 'node:process';
import { dockerOfRelease } from './docker-releases.ts';

export interface Surroundings {
  /** A folder with another generation's dockerd, containerd and runc. */
  readonly binFolder?: string;
  /** The plugin is run by dockerd, as one of its own. */
  readonly isManaged?: boolean;
}

/** `TEST_PLUGIN_FORM=managed` and `TEST_DOCKER_RELEASE`, a release of Debian. */
export async function surroundings(): Promise<Surroundings> {
  const release = process.env['TEST_DOCKER_RELEASE'];
  return {
    isManaged: process.env['TEST_PLUGIN_FORM'] === 'managed',
    ...(release === undefined ? {} : { binFolder: await dockerOfRelease(release) }),
  };
}
