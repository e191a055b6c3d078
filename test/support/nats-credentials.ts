/** Keys, credentials and certificates for a NATS server and its clients. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nkeys } from 'nats';
import { pathOf } from './programs.ts';

interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(bytes: Uint8Array): Uint8Array;
}

/** The client library's function, which it exports without types. */
const keys: Readonly<Record<'createOperator' | 'createAccount' | 'createUser', () => KeyPair>> = nkeys;

export function newNkey(): { readonly publicKey: string; readonly seed: string } {
  const pair = keys.createUser();
  return { publicKey: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) };
}

/** An operator with one account and one user: the server's configuration and the user's credentials file. */
export function newCredentials(): { readonly configuration: string; readonly creds: string } {
  const [operator, account, user] = [keys.createOperator(), keys.createAccount(), keys.createUser()];
  const limits = { subs: -1, data: -1, payload: -1 };
  const accountLimits = { ...limits, conn: -1, leaf: -1, imports: -1, exports: -1, wildcards: true };
  const operatorToken = token(operator, operator, { type: 'operator', version: 2 });
  const accountToken = token(operator, account, { type: 'account', version: 2, limits: accountLimits });
  const userToken = token(account, user, { type: 'user', version: 2, ...limits, pub: {}, sub: {} });
  const seed = new TextDecoder().decode(user.getSeed());
  return {
    configuration: `operator: ${operatorToken}\nresolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: ${accountToken} }`,
    creds: `-----BEGIN NATS USER JWT-----\n${userToken}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
  };
}

function token(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [iss, sub] = [issuer.getPublicKey(), subject.getPublicKey()];
  const jti = createHash('sha256').update(sub).digest('hex');
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode({ jti, iat: 1_600_000_000, iss, sub, name: sub, nats })}`;
  return `${signed}.${Buffer.from(issuer.sign(new TextEncoder().encode(signed))).toString('base64url')}`;
}

export interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority, and a certificate from it for these names (`DNS:localhost`, `IP:127.0.0.1`). */
export function newCertificates(folder: string, label: string, names: string): Certificates {
  const file = (end: string) => join(folder, `${label}${end}`);
  const openssl = (...parameters: string[]) => execFileSync(pathOf('openssl'), parameters, { stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    `/CN=${label} authority`,
    '-keyout',
    file('-ca.key'),
    '-out',
    file('-ca.pem'),
  );
  openssl('req', ...newKey, '-subj', `/CN=${label}`, '-keyout', file('.key'), '-out', file('.csr'));
  writeFileSync(file('.ext'), `subjectAltName=${names}\n`);
  const by = ['-CA', file('-ca.pem'), '-CAkey', file('-ca.key'), '-CAcreateserial'];
  openssl('x509', '-req', '-in', file('.csr'), ...by, '-days', '2', '-extfile', file('.ext'), '-out', file('.pem'));
  return { caFile: file('-ca.pem'), certFile: file('.pem'), keyFile: file('.key') };
}
