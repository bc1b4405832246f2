// A browser without a person: follows the redirects of the page it is given, as `OCTROI_BROWSER` is started.

import { browse } from './person.mjs';

await browse(process.argv.at(-1));
