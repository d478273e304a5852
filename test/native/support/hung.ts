/** A program whose event loop turns for a while, hangs for ten times the watchdog's interval, and goes on. */
import process from 'node:process';
import { supervisorOf } from '../../../native/service-manager.ts';

const turnMs = 150;
const hangMs = 400;

const supervisor = supervisorOf(process.env, process.pid);
setTimeout(() => {
  supervisor.status('hangs');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, hangMs);
  supervisor.status('goes on');
}, turnMs);
