package deployment

import (
	"strings"

	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// Sample returns sample values for the settings of a deployment with every feature, for
// tests and documents. Nothing listens at the addresses. A sample also replaces each
// value that a template computes, such as the name of its table.
func Sample(stateURL string) map[string]string {
	return map[string]string{
		"SDK_APP_ID":               "1400000001",
		"SECRET":                   strings.Repeat("5c", 32),
		"CALLBACK_TOKEN":           "a-token-of-this-test",
		"API_KEYS":                 "shop:" + strings.Repeat("ab", 32),
		"USERSIG_MODE":             "server",
		"ALLOWED_ORIGINS":          "https://shop.example.com",
		"STATE_URL":                stateURL,
		"QUEUE_URL":                "http://127.0.0.1:1/123456789012/jobs",
		"SECRETS_URL":              "",
		"VIRGIL_APP_ID":            kit.VirgilAppID,
		"VIRGIL_APP_KEY_ID":        kit.VirgilKeyID,
		"VIRGIL_APP_KEY":           kit.VirgilKey,
		"IM_DOMAIN":                "http://127.0.0.1:1",
		"ZENDESK_URL":              "http://127.0.0.1:1",
		"ZENDESK_CLIENT_ID":        "app",
		"ZENDESK_CLIENT_SECRET":    "a-secret-of-this-test",
		"ZENDESK_GROUP_FIELD":      "360",
		"ZENDESK_WEBHOOK_SECRETS":  "another-secret-of-this-test",
		"SALESFORCE_URL":           "",
		"SALESFORCE_API_VERSION":   "",
		"SALESFORCE_CLIENT_ID":     "",
		"SALESFORCE_CLIENT_SECRET": "",
		"SALESFORCE_KEY":           "",
		"LLM_BASE_URL":             "http://127.0.0.1:1/v1",
		"LLM_API_KEY":              "a-key-of-this-test-alone",
		"LLM_MODEL":                "m",
		"AGENT_USER_IDS":           "helpdesk",
		"SHOPIFY_SECRET":           "a-shopify-secret-of-this-test",
		"SHOPIFY_SHOPS":            "example.myshopify.com",
		"IDENTITY_SECRET":          "an-identity-secret-of-this-test-alone",
		"IDENTITY_JWKS_URL":        "",
		"IDENTITY_ISSUER":          "https://login.example.com/",
		"IDENTITY_AUDIENCE":        "backchannel",
		"MAIL_HOOK_URL":            "http://127.0.0.1:1",
		"MAIL_HOOK_KEY":            "a-key-of-this-test-alone",
		"MATCH_HOOK_URL":           "http://127.0.0.1:1",
		"MATCH_HOOK_KEY":           "a-key-of-this-test-alone",

		// Switches that no template names.
		"MODERATION_FLOOD":      "10",
		"MODERATION_ONE_TO_ONE": "friends",
		"TMS_VIDEO_URL":         "http://127.0.0.1:1",
		"TMS_REGION":            "ap-test",
		"TMS_SECRET_ID":         "id",
		"TMS_SECRET_KEY":        "key",
		"TMS_RESULTS_URL":       "http://127.0.0.1:1/moderation/results",
		"TMS_SEED":              "a-seed-of-this-test-alone",
	}
}
