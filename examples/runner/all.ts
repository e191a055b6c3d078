/** The examples that the runner knows. */
import { bank } from '../bank/example.ts';
import { orders } from '../orders/example.ts';
import type { Example } from './example.ts';

export const examples: readonly Example[] = [bank, orders];
