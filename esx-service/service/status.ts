/** How the service is, for its administrator; from memory only. */
import type { LockState } from '../../common/keyed-lock.ts';
import type { FullName } from '../../common/names.ts';
import type { CheckReport } from '../core/check-report.ts';
import { fullNameOf } from '../core/volume-record.ts';
import type { Service } from './service.ts';

export interface ServiceStatus {
  readonly version: string;
  readonly instanceId: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly hypervisor: string;
  readonly datastores: readonly { readonly name: string; readonly path: string; readonly volumes: number }[];
  readonly vms: readonly {
    readonly name: string;
    readonly attached: readonly FullName[];
    /** Why it is not known what it holds, if that is so. */
    readonly problem?: string;
  }[];
  readonly problems: readonly { readonly volume: FullName; readonly problem: string }[];
  /** What the start found in the datastores and left alone. */
  readonly leftovers: readonly string[];
  /** The last comparison of the catalog with the hypervisor and the datastores; undefined before the first. */
  readonly lastCheck: CheckReport | undefined;
  /** Who holds and who waits for which volume or VM, at this moment. */
  readonly locks: readonly LockState[];
}

export function statusOf(
  service: Service,
  startedAt: Date,
  leftovers: readonly string[],
  lastCheck: CheckReport | undefined,
): ServiceStatus {
  const { records } = service.catalog.view;
  return {
    version: service.version,
    instanceId: service.instanceId,
    startedAt: startedAt.toISOString(),
    hypervisor: service.hypervisor.kind,
    datastores: service.datastores.all.map(({ name, path }) => ({
      name,
      path,
      volumes: records.filter(({ volume }) => volume.datastore === name).length,
    })),
    vms: service.hypervisor.vms.map(({ id, name }) => {
      const attached = records
        .filter(({ volume }) => volume.attached?.vm.id === id)
        .map((record) => fullNameOf(record));
      const problem = service.unheard.get(id);
      return { name, attached, ...(problem !== undefined && { problem }) };
    }),
    problems: records.flatMap((record) =>
      record.volume.problem === undefined ? [] : [{ volume: fullNameOf(record), problem: record.volume.problem }],
    ),
    leftovers,
    lastCheck,
    locks: service.locks.report(),
  };
}
