/** Every mutant, by what it is about. */
import { admissionMutants } from './admission.ts';
import { agreementMutants } from './agreements.ts';
import { carriageMutants } from './carriage.ts';
import { clusterMutants } from './cluster.ts';
import { deliveryMutants } from './delivery.ts';
import { enumerateMutants } from './enumerate.ts';
import { foundMutants } from './found.ts';
import { imageSendingMutants } from './image-sending.ts';
import { laterMutants } from './later.ts';
import { type Mutant, mutants } from './list.ts';
import { periodMutants } from './periods.ts';
import { removalMutants } from './removal.ts';
import { retentionMutants } from './retention.ts';
import { storeMutants } from './stores.ts';
import { trustMutants } from './trust.ts';
import { wireMutants } from './wire.ts';

export const allMutants: readonly Mutant[] = [
  ...mutants,
  ...admissionMutants,
  ...agreementMutants,
  ...carriageMutants,
  ...clusterMutants,
  ...deliveryMutants,
  ...enumerateMutants,
  ...foundMutants,
  ...imageSendingMutants,
  ...laterMutants,
  ...removalMutants,
  ...periodMutants,
  ...retentionMutants,
  ...storeMutants,
  ...trustMutants,
  ...wireMutants,
];
