// A browser without a person: follows the redirects of the page it is given, as `OCTROI_BROWSER` is started.

await fetch(process.argv.at(-1), { redirect: 'follow' });
