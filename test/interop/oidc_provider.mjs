// oidc_provider.mjs PORT CLIENT REDIRECT ALGORITHM [SECRET] - a certified OpenID provider that nobody
// of Lov wrote (npm oidc-provider), with one client, whose login page lets anybody be anybody.
import { createRequire } from "node:module";
import { generateKeyPairSync } from "node:crypto";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_PATH + "/x.js");
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href).then((m) => ({ Provider: m.default ?? m.Provider }));
const [port, client, redirect, algorithm, secret] = process.argv.slice(2);

const jwk = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), use: "sig", alg, kid: alg,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: client, redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"],
    id_token_signed_response_alg: algorithm,
    ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: "none" }),
  }],
  jwks: { keys: [
    jwk("rsa", { modulusLength: 2048 }, "RS256"), jwk("rsa", { modulusLength: 2048 }, "PS256"),
    jwk("ec", { namedCurve: "P-256" }, "ES256"), jwk("ed25519", {}, algorithm === "Ed25519" ? "Ed25519" : "EdDSA"),
  ] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"] },
  cookies: { keys: ["not a secret"] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
