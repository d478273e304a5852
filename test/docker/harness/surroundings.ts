/** In which form and with which dockerd a whole run is tested, as its environment says. */
import process from 'node:process';
import { dockerOfRelease } from './docker-releases.ts';
import type { PrivateDockerOptions } from './private-docker.ts';

/** `TEST_PLUGIN_FORM=managed` and `TEST_DOCKER_RELEASE`, a release of Debian. */
export async function surroundings(): Promise<PrivateDockerOptions> {
  const release = process.env['TEST_DOCKER_RELEASE'];
  return {
    isManaged: process.env['TEST_PLUGIN_FORM'] === 'managed',
    ...(release === undefined ? {} : { binFolder: await dockerOfRelease(release) }),
  };
}
