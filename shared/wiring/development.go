package wiring

// Values that scripts/dev uses. They are published, so every reader except a
// development reader refuses them.
const (
	DevelopmentSecret = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
	DevelopmentToken  = "dev-callback-token"
	DevelopmentKey    = "dev-api-key"
	// DevelopmentKeyHash is DevelopmentKey as API_KEYS holds it.
	DevelopmentKeyHash = "6e1e4e1b8f8b36d08901cdb51b97841dfe20f5efd2fd2fd00768971408c46274"
	// The id and the secrets of scripts/dev's OAuth client at its fake Zendesk.
	DevelopmentDeskClient = "dev-client"
	DevelopmentDeskSecret = "dev-client-secret"
	DevelopmentHookSecret = "dev-webhook-secret"
	// DevelopmentOrgKey signs what scripts/dev's fake Salesforce org sends.
	DevelopmentOrgKey = "dev-webhook-secret-of-salesforce"
	// Keys of CSS, for callbacks, for streams that are pushed and for those that are
	// played.
	DevelopmentCSSKey     = "dev-css-callback-key"
	DevelopmentCSSPushKey = "dev-css-push-key"
	DevelopmentCSSPlayKey = "dev-css-play-key"
	// Secrets of a merchant: of the Shopify app, and for identity tokens.
	DevelopmentShopSecret     = "dev-shopify-secret"
	DevelopmentIdentitySecret = "dev-identity-secret-for-scripts-dev"
)

// published are the values that no secret setting of a deployed program may have.
var published = []string{
	DevelopmentSecret, DevelopmentToken, DevelopmentKey, DevelopmentKeyHash,
	DevelopmentDeskSecret, DevelopmentHookSecret, DevelopmentOrgKey, DevelopmentCSSKey, DevelopmentCSSPushKey, DevelopmentCSSPlayKey,
	DevelopmentShopSecret, DevelopmentIdentitySecret,
}
