/** `npm run api`: writes docs/api.md anew. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiPage } from '../support/api.ts';
import { root } from '../support/tree.ts';

writeFileSync(join(root, 'docs', 'api.md'), apiPage());
