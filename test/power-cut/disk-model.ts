/**
 * What a disk may hold after a power cut, given the operations up to then.
 *
 * The model, after POSIX's fsync and the persistence models of "All File Systems Are Not Created Equal" (Pillai et al.,
 * OSDI 2014); it is at least as hostile as ext4 with data=writeback (Documentation/filesystems/ext4) and as XFS:
 * - What was fsynced of a file, its bytes and its size, is kept; so is a name whose folder was fsynced after it.
 *   An fsync of a file keeps none of its names, and one of a folder keeps nothing of its files.
 * - Of bytes written since, each sector of 512 is by itself as any of its versions since; where there was no data before,
 *   it may also be a hole, or hold what the block held for somebody else. A sector is never torn in itself.
 * - A file's size is any that it had since, whatever became of its bytes, and whatever became of its names: a rename
 *   is kept while the renamed file's bytes are not.
 * - Names of one folder changed since are kept or not. *Journalled*: in their order, so that the kept ones are a prefix;
 *   that is what ext4, XFS and btrfs do. *Reordered*: any of them without the others, which POSIX allows; only the two
 *   names of a rename go together. Different folders and files are independent of each other.
 */
import type { DataChange, FileOperation } from './recording.ts';

export const sectorBytes = 512;
export const blockBytes = 4096;

/** Names that change together: to a file, or to nothing. */
export type NameChange = readonly (readonly [name: string, file: number | undefined])[];

export interface FileState {
  /** Changes of the disk for good, and those since; in that order they are the file. */
  readonly kept: readonly DataChange[];
  readonly since: readonly DataChange[];
}

export interface FolderState {
  readonly kept: ReadonlyMap<string, number>;
  readonly since: readonly NameChange[];
}

export class DiskModel {
  readonly files = new Map<number, FileState>();
  readonly folders = new Map<number, FolderState>([[0, { kept: new Map(), since: [] }]]);

  apply(operation: FileOperation): void {
    switch (operation.do) {
      case 'create':
        this.files.set(operation.file, { kept: [], since: [] });
        this.#name(operation.path, operation.file);
        break;
      case 'mkdir':
        this.folders.set(operation.file, { kept: new Map(), since: [] });
        this.#name(operation.path, operation.file);
        break;
      case 'link':
        this.#name(operation.to, this.#find(operation.path));
        break;
      case 'unlink':
        this.#name(operation.path, undefined);
        break;
      case 'rename':
        this.#rename(operation.path, operation.to);
        break;
      case 'change':
        this.#change(operation.file, operation.change);
        break;
      case 'sync':
        this.#sync(operation.file);
        break;
      case 'mark':
    }
  }

  /** Everything that was done, as if the disk had been flushed. */
  flush(): void {
    for (const file of [...this.files.keys(), ...this.folders.keys()]) this.#sync(file);
  }

  #sync(file: number): void {
    const state = this.files.get(file);
    if (state) this.files.set(file, { kept: [...state.kept, ...state.since], since: [] });
    const folder = this.folders.get(file);
    if (folder) this.folders.set(file, { kept: namesAfter(folder.kept, folder.since), since: [] });
  }

  #change(file: number, change: DataChange): void {
    const state = this.files.get(file);
    if (!state) throw new Error(`file ${file} is not known`);
    this.files.set(file, { ...state, since: [...state.since, change] });
  }

  #name(path: string, file: number | undefined): void {
    const [folder, name] = this.#place(path);
    this.#changeNames(folder, [[name, file]]);
  }

  #rename(path: string, to: string): void {
    const [folder, name] = this.#place(path);
    const [target, newName] = this.#place(to);
    if (folder !== target) throw new Error(`a rename between two folders is not in the model: ${path} to ${to}`);
    this.#changeNames(folder, [
      [name, undefined],
      [newName, this.#find(path)],
    ]);
  }

  #changeNames(folder: number, change: NameChange): void {
    const state = this.folders.get(folder);
    if (!state) throw new Error(`folder ${folder} is not known`);
    this.folders.set(folder, { ...state, since: [...state.since, change] });
  }

  #place(path: string): readonly [folder: number, name: string] {
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    return [this.#find(parts.join('/')), name];
  }

  #find(path: string): number {
    let found = 0;
    for (const part of path.split('/').filter((text) => text !== '')) {
      const folder = this.folders.get(found);
      const next = folder && namesAfter(folder.kept, folder.since).get(part);
      if (next === undefined) throw new Error(`${path} is not known`);
      found = next;
    }
    return found;
  }
}

export function namesAfter(
  kept: ReadonlyMap<string, number>,
  changes: readonly NameChange[],
): ReadonlyMap<string, number> {
  const names = new Map(kept);
  for (const [name, file] of changes.flat()) {
    if (file === undefined) names.delete(name);
    else names.set(name, file);
  }
  return names;
}
