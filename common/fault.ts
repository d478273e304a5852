/**
 * Every failure that a caller can act on. A fault has a code (what happened) and each code has one class (what the
 * caller may do next). Invariant: the table is total (a code without a row does not compile), and no code anywhere
 * reads a message to decide.
 */

/**
 * What the caller may do next: *busy* and *unreachable* may be repeated later; *unsure* (sent, not answered) must ask
 * first what happened; all others must not be repeated unchanged.
 */
export type FaultClass =
  'invalid' | 'missing' | 'conflict' | 'busy' | 'full' | 'unreachable' | 'unsure' | 'cancelled' | 'bug';

const classes = {
  InvalidName: 'invalid',
  InvalidOption: 'invalid',
  InvalidRequest: 'invalid',
  NotAuthorized: 'invalid',
  NotSupported: 'invalid',
  ProtocolMismatch: 'invalid',
  DatastoreNotFound: 'missing',
  VolumeNotFound: 'missing',
  VolumeExists: 'conflict',
  VolumeReplaced: 'conflict',
  VolumeInUse: 'conflict',
  UnexpectedSignature: 'conflict',
  DamagedVolume: 'conflict',
  Busy: 'busy',
  NoFreeSlot: 'full',
  NoSpace: 'full',
  QuotaExceeded: 'full',
  HostUnavailable: 'unreachable',
  TakenOver: 'unreachable',
  DeadlineExceeded: 'unsure',
  DeviceTimeout: 'unsure',
  OutcomeUnknown: 'unsure',
  Cancelled: 'cancelled',
  Internal: 'bug',
} as const satisfies Record<string, FaultClass>;

export type FaultCode = keyof typeof classes;

/** All codes, for schemas that carry them over the channel. */
export const faultCodes = Object.keys(classes) as [FaultCode, ...FaultCode[]];

/**
 * A failure with a code, and a sentence that says what happened to which volume and what the user can do. The sentence
 * is shown to users as it is; the cause is for the log only.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get class(): FaultClass {
    return classes[this.code];
  }
}

/** The fault that began it, wherever a cause, an aggregate or a failing close has hidden it; else an Internal one. */
export function faultOf(error: unknown): Fault {
  return search(error, 8) ?? faultOfErrno(error) ?? new Fault('Internal', messageOf(error), { cause: error });
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name (`ENOENT`) of a failed system call, or undefined when the error is none. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('errno' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function search(error: unknown, depth: number): Fault | undefined {
  if (error instanceof Fault) return error;
  if (!(error instanceof Error) || depth === 0) return undefined;
  const hidden = error as { suppressed?: unknown; errors?: unknown; error?: unknown };
  const inner = [
    hidden.suppressed,
    error.cause,
    ...(Array.isArray(hidden.errors) ? (hidden.errors as unknown[]) : []),
    hidden.error,
  ];
  for (const candidate of inner) {
    const fault = search(candidate, depth - 1);
    if (fault) return fault;
  }
  return undefined;
}

function faultOfErrno(error: unknown): Fault | undefined {
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new Fault('NoSpace', `no space left: ${messageOf(error)}`, { cause: error });
    case 'ECONNREFUSED':
    case 'ECONNRESET':
    case 'EPIPE':
      return new Fault('HostUnavailable', `connection failed: ${messageOf(error)}`, { cause: error });
    default:
      return undefined;
  }
}
