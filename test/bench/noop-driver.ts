/** The volume driver that does nothing: what Docker's plugin protocol costs by itself. Its volumes are one folder. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

/** @param mountpoint a folder that dockerd can see */
export async function startNoopDriver(socketPath: string, mountpoint: string): Promise<AsyncDisposable> {
  const names = new Set<string>();
  const answer = (verb: string, name: string): object => {
    switch (verb) {
      case '/Plugin.Activate':
        return { Implements: ['VolumeDriver'] };
      case '/VolumeDriver.Capabilities':
        return { Capabilities: { Scope: 'local' } };
      case '/VolumeDriver.Create':
        names.add(name);
        return { Err: '' };
      case '/VolumeDriver.Remove':
        names.delete(name);
        return { Err: '' };
      case '/VolumeDriver.Get':
        return names.has(name)
          ? { Volume: { Name: name, Mountpoint: mountpoint }, Err: '' }
          : { Err: 'no such volume' };
      case '/VolumeDriver.List':
        return { Volumes: [...names].map((Name) => ({ Name })), Err: '' };
      default:
        return { Mountpoint: mountpoint, Err: '' };
    }
  };
  // As ours, it keeps connections on which nothing is asked for a while.
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    void text(request).then((body) => {
      const { Name = '' } = JSON.parse(body === '' ? '{}' : body) as { Name?: string };
      response.end(JSON.stringify(answer(request.url ?? '', Name)));
    });
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
