// Answers one JSON object a line, with npm's virgil-sdk and virgil-crypto:
//
//   {"appID","keyID","key","identity","times"}   -> {"jwt","micros"}: signs so many times
//   {"keyID","key","jwt"}                        -> {"accepted","identity"}: verifies
//
// key is the private App Key, base64 PKCS#8.
const { initCrypto, VirgilCrypto, VirgilAccessTokenSigner } = require("virgil-crypto");
const { Jwt, JwtGenerator, JwtVerifier } = require("virgil-sdk");

(async () => {
  await initCrypto();
  const crypto = new VirgilCrypto();
  const accessTokenSigner = new VirgilAccessTokenSigner(crypto);

  const sign = ({ appID, keyID, key, identity, times }) => {
    const generator = new JwtGenerator({
      appId: appID, apiKeyId: keyID, apiKey: crypto.importPrivateKey(key), accessTokenSigner, millisecondsToLive: 20 * 60 * 1000,
    });
    let jwt;
    const start = performance.now();
    for (let i = 0; i < times; i++) jwt = generator.generateToken(identity).toString();
    return { jwt, micros: (performance.now() - start) * 1000 };
  };

  const verify = ({ keyID, key, jwt }) => {
    const apiPublicKey = crypto.extractPublicKey(crypto.importPrivateKey(key));
    try {
      const token = Jwt.fromString(jwt);
      return { accepted: new JwtVerifier({ apiKeyId: keyID, apiPublicKey, accessTokenSigner }).verifyToken(token), identity: token.identity() };
    } catch {
      return { accepted: false, identity: "" };
    }
  };

  for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    console.log(JSON.stringify(asked.jwt === undefined ? sign(asked) : verify(asked)));
  }
})();
