/** A program whose event loop turns for some beats of the watchdog, hangs for twenty times its interval, and goes on. */
import process from 'node:process';
import { supervisorOf } from '../../../native/service-manager.ts';

/** As often as the watchdog is fed, and started after it: each beat of ours comes after one of its own. */
const beatMs = 20;
const beats = 5;
const hangMs = 400;

const supervisor = supervisorOf(process.env, process.pid);
let count = 0;
const timer = setInterval(() => {
  count += 1;
  if (count < beats) return;
  clearInterval(timer);
  supervisor.status('hangs');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, hangMs);
  supervisor.status('goes on');
  supervisor[Symbol.dispose]();
}, beatMs);
