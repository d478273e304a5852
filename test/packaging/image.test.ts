/** The image of the service: its layout as the specification has it, and a dockerd that loads and runs it. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import anyTest, { type TestFn } from 'ava';
import { assembleImage, imageReference } from '../../packaging/image/assemble.ts';
import { mustRun } from '../../scripts/command.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { scratch } from '../native/support/scratch.ts';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const test = anyTest as TestFn<{ readonly image: string }>;

test.before(async (t) => {
  const image = join(await mkdtemp(join(tmpdir(), 'image-')), 'layout');
  t.context = { image };
  await assembleImage('amd64', image);
});
test.after.always(async (t) => {
  await rm(dirname(t.context.image), { recursive: true, force: true });
});

test('image: each blob is what its descriptor says, none is too many, and it is the same when made again', async (t) => {
  const place = await scratch(t);
  const folder = t.context.image;
  const again = place.path('again');
  await assembleImage('amd64', again);
  t.deepEqual(await readFile(join(again, 'index.json')), await readFile(join(folder, 'index.json')));
  const blob = async ({ digest, size }: Descriptor): Promise<Buffer> => {
    const bytes = await readFile(join(folder, 'blobs', digest.replace(':', '/')));
    t.deepEqual({ digest: sha256(bytes), size: bytes.length }, { digest, size });
    return bytes;
  };
  t.is(await readFile(join(folder, 'oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}');
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as { manifests: [Descriptor] };
  const manifest = JSON.parse(String(await blob(index.manifests[0]))) as { config: Descriptor; layers: [Descriptor] };
  const config = JSON.parse(String(await blob(manifest.config))) as { rootfs: { diff_ids: [string] } };
  const layer = await blob(manifest.layers[0]);
  t.is(sha256(gunzipSync(layer)), config.rootfs.diff_ids[0]);
  t.is((await readdir(join(folder, 'blobs/sha256'))).length, 3);
});

test('image: dockerd loads it, and the service in it starts and says what it needs', async (t) => {
  const place = await scratch(t);
  const archive = place.path('image.tar');
  await mustRun(['tar', '--create', '--file', archive, '--directory', t.context.image, '.']);
  const docker = await PrivateDocker.start({ withoutImages: true });
  t.teardown(() => docker.stop());
  const loaded = await docker.docker(['load', '--input', archive]);
  t.regex(loaded.stdout, new RegExp(imageReference));
  const { code, stderr } = await docker.docker(['run', '--rm', '--network', 'none', imageReference]);
  t.is(code, 1);
  t.regex(stderr, /^vmdkopsd: configuration: key datastores has the value none/m);
});
