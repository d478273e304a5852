/**
 * An image in the layout of the Open Container Initiative: a folder that any tool for images reads, and, by one file more,
 * `docker load` of old too. No registry and no daemon takes part. Invariant: the same root folder and date give the same
 * bytes.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { mustRun } from '../../scripts/command.ts';
import type { Architecture } from '../payload/architectures.ts';

export interface ImageOptions {
  readonly architecture: Architecture;
  /** What the image's `/` holds. */
  readonly root: string;
  /** Must exist, and be empty. */
  readonly folder: string;
  /** In seconds. */
  readonly date: number;
  /** `name:version`. */
  readonly reference: string;
  /** Entrypoint and the like, as the specification names them. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const kind = 'application/vnd.oci.image';
const tarMs = 120_000;

export async function writeImageLayout(options: ImageOptions): Promise<void> {
  const { architecture, folder, reference, config, annotations, date } = options;
  const blobs = join(folder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const { layer, diffId } = await addLayer(options, blobs);
  const created = new Date(date * 1000).toISOString();
  const image = await addJson(blobs, `${kind}.config.v1+json`, {
    created,
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created, created_by: 'npm run package:oci' }],
  });
  const manifest = await addJson(blobs, `${kind}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${kind}.manifest.v1+json`,
    config: image,
    layers: [layer],
    annotations,
  });
  const name = { 'org.opencontainers.image.ref.name': reference.split(':')[1], 'io.containerd.image.name': reference };
  const listed = { ...manifest, platform: { architecture, os: 'linux' }, annotations: name };
  await putJson(folder, 'oci-layout', { imageLayoutVersion: '1.0.0' });
  await putJson(folder, 'index.json', { schemaVersion: 2, mediaType: `${kind}.index.v1+json`, manifests: [listed] });
  // dockerd before 25 reads this one only.
  const legacy = { Config: pathOf(image), RepoTags: [reference], Layers: [pathOf(layer)] };
  await putJson(folder, 'manifest.json', [legacy]);
}

async function addLayer(
  { root, date }: ImageOptions,
  blobs: string,
): Promise<{ readonly layer: Descriptor; readonly diffId: string }> {
  const plain = join(blobs, '.layer.tar');
  const packed = join(blobs, '.layer.tar.gz');
  const owner = ['--owner=0', '--group=0', '--numeric-owner'];
  const tar = ['tar', '--create', '--format=gnu', '--sort=name', `--mtime=@${date}`, ...owner] as const;
  await mustRun([...tar, '--file', plain, '--directory', root, '.'], { timeoutMs: tarMs });
  await pipeline(createReadStream(plain), createGzip({ level: 6 }), createWriteStream(packed));
  const diffId = await digestOf(plain);
  await rm(plain);
  const digest = await digestOf(packed);
  const { size } = await stat(packed);
  await rename(packed, join(blobs, digest.slice('sha256:'.length)));
  return { layer: { mediaType: `${kind}.layer.v1.tar+gzip`, digest, size }, diffId };
}

async function addJson(blobs: string, mediaType: string, value: object): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value));
  const hash = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(blobs, hash), bytes);
  return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
}

async function putJson(folder: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(folder, name), JSON.stringify(value));
}

function pathOf({ digest }: Descriptor): string {
  return join('blobs/sha256', basename(digest.slice('sha256:'.length)));
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}
