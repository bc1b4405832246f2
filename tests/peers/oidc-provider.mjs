// The npm package `oidc-provider` as an identity provider on this machine. Prints its issuer as its first line.
//
// People sign in by themselves: whoever comes to the login page is `alice` and consents. Three things are not the
// package's own: token exchange (RFC 8693, with `act`), which it leaves to its users; `GET /rotate`, which replaces every
// signing key; and the choice of people.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import * as oidc from 'oidc-provider';

const { Provider, errors } = oidc;
const RESOURCES = {
  'https://gate.example.test/mcp': 'tools:call tools:admin',
  'https://upstream.example.test/mcp': 'records:read',
};
// A gate that runs beside it, for clients that find their way by themselves.
if (process.env.RESOURCE) RESOURCES[process.env.RESOURCE] = 'tools:call tools:admin';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomUUID() };
}

function configuration(keys) {
  return {
    jwks: { keys },
    clients: [
      {
        client_id: 'agent',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/callback'],
        application_type: 'native',
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
      {
        client_id: 'robot',
        client_secret: 'robot-secret',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      },
      {
        client_id: 'gate',
        client_secret: 'gate-secret',
        redirect_uris: [],
        response_types: [],
        grant_types: [EXCHANGE],
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    // Who registers by itself may name only scopes that are known beforehand.
    scopes: ['openid', 'email', ...(process.env.RESOURCE ? ['offline_access', 'tools:call', 'tools:admin'] : [])],
    // What a client registered for does not bind it for ever: it may be asked for more.
    extraClientMetadata: {
      properties: process.env.RESOURCE ? ['self_registered'] : [],
      validator: (_, __, ___, metadata) => { metadata.scope = undefined; },
    },
    cookies: { keys: ['not a secret'] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.test` }) }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, Interaction: 600, Session: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      registration: { enabled: Boolean(process.env.RESOURCE) },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_, __, oneOf) => oneOf,
        useGrantedResource: () => true,
        getResourceServerInfo(_, resource) {
          if (resource === 'https://opaque.example.test/mcp') {
            return { scope: 'tools:call', audience: resource, accessTokenFormat: 'opaque' };
          }
          if (!RESOURCES[resource]) throw new errors.InvalidTarget();
          return {
            scope: RESOURCES[resource],
            audience: resource,
            accessTokenFormat: 'jwt',
            accessTokenTTL: 600,
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
    // Who acts for the subject travels with the token.
    extraTokenClaims: (_, token) => (token.extra?.act ? { act: token.extra.act } : undefined),
  };
}

/** RFC 8693: the same person, another audience, and the client as the one who acts. */
function exchange(provider, publicKeys) {
  return async (ctx) => {
    const { params, client } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type');
    const claims = await verified(params.subject_token, provider.issuer, publicKeys).catch(() => undefined);
    if (!claims) throw new errors.InvalidRequest('subject_token');
    const audience = params.resource ?? params.audience;
    if (!RESOURCES[audience]) throw new errors.InvalidTarget();
    const info = configuration([]).features.resourceIndicators.getResourceServerInfo(ctx, audience);
    const token = new provider.AccessToken({
      accountId: claims.sub,
      client,
      scope: params.scope ?? '',
      gty: EXCHANGE,
      grantId: randomUUID(),
      extra: { act: { sub: client.clientId, ...(claims.act ? { act: claims.act } : {}) } },
    });
    token.resourceServer = new provider.ResourceServer(audience, info);
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope: params.scope ?? '',
    };
  };
}

async function verified(token, issuer, publicKeys) {
  const { createPublicKey, verify } = await import('node:crypto');
  const [header, payload, signature] = token.split('.');
  if (!signature) return undefined;
  const { kid } = JSON.parse(Buffer.from(header, 'base64url'));
  const jwk = publicKeys().find((key) => key.kid === kid);
  if (!jwk) return undefined;
  const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  const good = verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  return good && claims.iss === issuer && claims.exp > Date.now() / 1000 ? claims : undefined;
}

/** Signs in whoever comes as `alice`, with everything that was asked for. */
async function signIn(provider, request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
  }
  const grant = new provider.Grant({ accountId: 'alice', clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const server = createServer();
await new Promise((listening) => server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
let provider;
let answer;

function start() {
  const keys = [newKey()];
  provider = new Provider(issuer, configuration(keys));
  const publicKeys = () => keys.map(({ d, ...key }) => key);
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'];
  provider.registerGrantType(EXCHANGE, exchange(provider, publicKeys), parameters, []);
  answer = provider.callback();
}

start();
server.on('request', (request, response) => {
  if (request.url === '/rotate') {
    start();
    response.end();
  } else if (request.url.startsWith('/interaction/')) {
    signIn(provider, request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  } else {
    answer(request, response);
  }
});
console.log(issuer);
