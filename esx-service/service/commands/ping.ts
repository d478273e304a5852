/** Whether the service is there. */
import type { Query } from '../command.ts';

export const ping: Query<'ping'> = () => ({});
