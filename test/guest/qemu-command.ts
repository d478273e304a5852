/**
 * How QEMU is called for a guest. Why so: the guest's memory is shared with the vsock backend; `-cpu max` has the
 * instructions for random numbers, without which the first program that wants some waits; `panic=-1` ends a guest that
 * has crashed; `no_timer_check` keeps a kernel that a busy machine starves from taking its timer for broken; the root
 * disk is a snapshot, whose changes go to a nameless file.
 */
import { join } from 'node:path';
import type { Command } from '../../scripts/command.ts';
import type { GuestImage } from './image.ts';

export interface QemuOptions {
  readonly folder: string;
  readonly image: GuestImage;
  readonly memoryMebibytes: number;
  readonly processors: number;
  readonly vsockDevice: string;
  readonly mayReboot: boolean;
  readonly arguments: readonly string[];
}

export function qemuCommand(options: QemuOptions): Command {
  const { folder, image, mayReboot, memoryMebibytes, processors, vsockDevice } = options;
  const at = (name: string): string => join(folder, name);
  return [
    'qemu-system-x86_64',
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-machine', 'pc,memory-backend=memory'],
    ...['-smp', String(processors), '-m', String(memoryMebibytes)],
    ...['-object', `memory-backend-memfd,id=memory,size=${memoryMebibytes}M,share=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', ...(mayReboot ? [] : ['-no-reboot'])],
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', 'console=ttyS0 quiet panic=-1 no_timer_check'],
    ...['-chardev', `file,id=console,path=${at('console')}`, '-serial', 'chardev:console'],
    // One for the product, one for ourselves: a monitor serves one client at a time.
    ...['-qmp', `unix:${at('qmp')},server=on,wait=off`, '-qmp', `unix:${at('monitor')},server=on,wait=off`],
    ...['-drive', `id=root,if=none,format=raw,snapshot=on,file=${image.rootDisk}`],
    ...['-device', 'virtio-blk-pci,drive=root'],
    ...['-drive', `id=project,if=none,format=raw,read-only=on,file=${at('project.tar')}`],
    ...['-device', 'virtio-blk-pci,drive=project'],
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${at('agent')}`],
    ...['-device', 'virtserialport,chardev=agent,name=agent'],
    ...['-chardev', `socket,id=vsock,path=${vsockDevice}`, '-device', 'vhost-user-vsock-pci,chardev=vsock'],
    ...['-device', 'pvscsi,id=scsi0'],
    ...options.arguments,
  ];
}
