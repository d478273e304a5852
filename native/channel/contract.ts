/**
 * The channel's contract: every command, reply, error and event as a schema, and nothing else. Both sides parse what
 * they receive with it, so a message that passed can be used without further checks. Version 3 of the protocol;
 * version 2 is in `protocol-v2.ts`.
 *
 * How it may grow without another version: what the service says (replies, events, errors) may get more fields, events
 * of more kinds and errors of more codes, which an older plugin passes over; so may `hello`, in both directions. What a
 * guest asks for is taken whole or refused: a field that the service does not know might be the one that matters. New
 * commands and new fields of commands are for plugins that know from `serviceVersion` that they are understood, or that
 * can tell the user why not. New values of a field are another version. `hello` is written in the oldest version that
 * its sender speaks, so that it is understood by all who speak it too.
 */
import * as z from 'zod';
import { type DiskUuid, isDiskUuid } from '../../common/disk-uuid.ts';
import { faultCodes } from '../../common/fault.ts';
import { accessModes, attachModes, diskformats, fstypes, safeMountOptions } from '../../common/volume-options.ts';

export const protocolVersion = 3;
/** The port on which the service listens (the archived product's). */
export const defaultPort = 1019;

/** The longest time that Node's timers count. */
export const maxWithinMs = 2 ** 31 - 1;

const diskUuid = z.custom<DiskUuid>((value) => typeof value === 'string' && isDiskUuid(value), 'not a disk UUID');
const name = z.string().min(1).max(1024);
const bytes = z.number().int().nonnegative();
const vm = z.object({ id: z.string().min(1), name: z.string().min(1) });

/** Where the guest finds an attached disk. */
export const deviceSchema = z.discriminatedUnion('kind', [
  /** Service and guest share a kernel; the sequence number tells a re-used loop device from the one meant. */
  z.object({ kind: z.literal('loop'), path: z.string(), diskSequence: z.number().int() }),
  /** A SCSI disk by its controller's PCI address and unit, as the guest's sysfs shows them. */
  z.object({
    kind: z.literal('scsi'),
    pciSlot: z.string(),
    pciBus: z.string(),
    unit: z.number().int().nonnegative(),
    wwn: z.string().optional(),
  }),
]);
export type Device = z.infer<typeof deviceSchema>;

const rootSchema = z.strictObject({
  uid: z.number().int().optional(),
  gid: z.number().int().optional(),
  mode: z.number().int().optional(),
});

/** What is known of a volume; the same record in list, get, events and replies. */
export const volumeSchema = z.object({
  name: z.string(),
  datastore: z.string(),
  /** Of the disk: another one for a volume that was made anew under the same name. */
  uuid: diskUuid,
  /** Whether its creator typed the datastore; lists show the name in that form. */
  isNamedInFull: z.boolean(),
  sizeBytes: bytes,
  /** Space that the disk takes on the datastore, as of its last change of state. */
  allocatedBytes: bytes,
  /** Undefined for a disk made elsewhere whose file system is not known yet. */
  fstype: z.enum(fstypes).optional(),
  diskformat: z.enum(diskformats),
  access: z.enum(accessModes),
  attachAs: z.enum(attachModes),
  mountOptions: z.array(z.enum(safeMountOptions)),
  /** Full name of the clone's source. */
  cloneFrom: z.string().optional(),
  /** RFC 3339. */
  createdAt: z.string(),
  /** Name of the VM that asked for it. */
  createdBy: z.string(),
  /** The VM that holds it, and through which device. */
  attached: z.object({ vm, device: deviceSchema }).optional(),
  /** Why it cannot be used, when it cannot. */
  problem: z.string().optional(),
});
export type Volume = z.infer<typeof volumeSchema>;

const createArgs = z.strictObject({
  /** As typed: `name` or `name@datastore`. */
  name,
  sizeBytes: bytes.optional(),
  fstype: z.enum(fstypes).optional(),
  diskformat: z.enum(diskformats),
  access: z.enum(accessModes),
  attachAs: z.enum(attachModes),
  mountOptions: z.array(z.enum(safeMountOptions)),
  cloneFrom: name.optional(),
  root: rootSchema,
});

/**
 * Each command with the schema of its arguments and of its reply. Volumes are named as typed or in full. All are
 * idempotent: a repeated key gives the first outcome, attach of what this VM holds gives the same device, detach of
 * what it does not hold and remove of what is not there succeed.
 */
export const commands = {
  /**
   * First on each connection, and answered before anything else is sent. Says who the VM is, as the transport tells it.
   * The VM's earlier connections are over with it, and what they still carry is not read: a command that was held back
   * on one of them must not be done after what the guest asks for on this one. A hello that is itself such a late one is
   * refused.
   */
  hello: {
    args: z.object({
      versions: z.array(z.number().int()),
      clientVersion: z.string(),
      /** Of the guest's kernel; times of another one cannot be compared. */
      bootId: z.string(),
      /** When it was said, in microseconds of the guest's monotonic clock, which all its processes share. */
      saidAtUs: z.number().int().nonnegative(),
    }),
    ok: z.object({
      version: z.literal(protocolVersion),
      vm,
      serviceVersion: z.string(),
      /** New at each start of the service. */
      instanceId: z.string(),
      defaultDatastore: z.string(),
      /** Names of all datastores, spelled as full names spell them. */
      datastores: z.array(z.string()),
      /** Full names of the volumes that this VM holds. */
      attached: z.array(z.string()),
    }),
  },
  create: { args: createArgs, ok: z.object({ volume: volumeSchema }) },
  /** With a `uuid`, of that disk only: what was made anew under the name since the sender saw it is refused. */
  remove: { args: z.strictObject({ name, uuid: diskUuid.optional() }), ok: z.object({}) },
  attach: {
    args: z.strictObject({ name }),
    ok: z.object({
      volume: volumeSchema,
      device: deviceSchema,
      /**
       * A volume with `access: read-only` is attached read-only, except while it has still to be formatted, or prepared
       * as a clone: then the guest does so, detaches, and attaches again.
       */
      isReadOnly: z.boolean(),
      /** Whether a guest ever reported the disk formatted. */
      isFormatted: z.boolean(),
      /** Its file system is still its source's copy: it needs a UUID of its own, and to fill the disk, before a mount. */
      isFreshClone: z.boolean(),
      root: z.object(rootSchema.shape),
    }),
  },
  detach: {
    args: z.strictObject({
      name,
      /** What is true of the disk now: it was formatted, and it is no longer a fresh clone. False adds nothing. */
      isFormatted: z.boolean(),
      isClonePrepared: z.boolean(),
      /** The file system that it found or made. */
      fstype: z.enum(fstypes).optional(),
    }),
    ok: z.object({}),
  },
  get: { args: z.strictObject({ name }), ok: z.object({ volume: volumeSchema }) },
  /** One page in the order of full names; `next` is the `after` of the following page, absent on the last. */
  list: {
    args: z.strictObject({ after: z.string().optional(), limit: z.number().int().min(1).max(1000) }),
    ok: z.object({ volumes: z.array(volumeSchema), next: z.string().optional() }),
  },
  /**
   * From the reply on, every change of a volume that this VM may see arrives as an event on this connection, in order
   * with the replies: a page of `list` reflects exactly the events sent before it.
   */
  watch: { args: z.strictObject({}), ok: z.object({ sequence: z.number().int() }) },
  ping: { args: z.strictObject({}), ok: z.object({}) },
} as const;

export type CommandName = keyof typeof commands;
export type Args<C extends CommandName> = z.infer<(typeof commands)[C]['args']>;
export type Reply<C extends CommandName> = z.infer<(typeof commands)[C]['ok']>;
export const commandNames = Object.keys(commands) as [CommandName, ...CommandName[]];

/** What the host sends unasked, to connections that watch. Sequence numbers have no gaps on one service instance. */
export const eventSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('changed'), sequence: z.number().int(), volume: volumeSchema }),
  z.object({ kind: z.literal('removed'), sequence: z.number().int(), name: z.string(), datastore: z.string() }),
]);
export type ChannelEvent = z.infer<typeof eventSchema>;
const knownKinds: readonly string[] = eventSchema.options.map(({ shape }) => shape.kind.value);
/** Passed over; the gap that it leaves in the sequence has the list read anew. */
const unknownEvent = z
  .object({ kind: z.string().refine((kind) => !knownKinds.includes(kind)) })
  .transform(() => undefined);

/** From guest to host: a command, or the wish to give up one that is in flight (it is undone if that is safe). */
export const requestSchema = z.union([
  z.strictObject({
    v: z.literal(protocolVersion),
    id: z.number().int().nonnegative(),
    cmd: z.enum(commandNames),
    key: z.uuid(),
    args: z.unknown(),
    /** How long its caller still waits, as of sending; over, the command is given up as if it were cancelled. */
    withinMs: z.number().int().positive().max(maxWithinMs).optional(),
  }),
  z.strictObject({ v: z.literal(protocolVersion), cancel: z.number().int().nonnegative() }),
]);

/** A code that we do not know is not to be repeated unchanged, and has its sentence. */
const fault = z.object({ code: z.enum(faultCodes).catch('Internal'), message: z.string() });

/** From host to guest: exactly one reply for each command, and events; or why the connection is over, as the last. */
export const responseSchema = z.union([
  z.object({ id: z.number().int().nonnegative(), ok: z.unknown() }),
  z.object({ id: z.number().int().nonnegative(), error: fault }),
  z.object({ event: z.union([eventSchema, unknownEvent]) }),
  z.object({ over: fault }),
]);
