/**
 * A copy that shares nothing with its source. Kernel-side copies share blocks where the file system can, and a shared
 * block needs new space at its first change; a thick disk has its space from the start.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { Fault } from '../../common/fault.ts';
import type { Extent } from '../core/volume-record.ts';
import type { OnProgress } from '../ports/datastore.ts';

const chunkBytes = 4 * 1024 * 1024;

/**
 * Writes the source's bytes into `target`, which reads as zeros before.
 * @param writesZeros whether chunks of zeros are written too, or skipped
 */
export async function copyThick(
  source: Extent,
  target: FileHandle,
  writesZeros: boolean,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const zeros = Buffer.alloc(chunkBytes);
  const buffer = Buffer.alloc(chunkBytes);
  const from = await open(source.path, 'r');
  try {
    for (let doneBytes = 0; doneBytes < source.sizeBytes;) {
      signal.throwIfAborted();
      const wanted = Math.min(chunkBytes, source.sizeBytes - doneBytes);
      const { bytesRead } = await from.read(buffer, 0, wanted, doneBytes);
      if (bytesRead === 0) throw new Fault('DamagedVolume', `${source.path} became shorter while it was copied`);
      const chunk = buffer.subarray(0, bytesRead);
      if (writesZeros || !chunk.equals(zeros.subarray(0, bytesRead))) await writeAll(target, chunk, doneBytes);
      doneBytes += bytesRead;
      onProgress({ doneBytes, totalBytes: source.sizeBytes });
    }
  } finally {
    await from.close();
  }
}

async function writeAll(target: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    const { bytesWritten } = await target.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}
