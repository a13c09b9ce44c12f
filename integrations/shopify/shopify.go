// Package shopify holds what runs at Shopify: the theme app extension with the
// chat widget, and the app's page for merchants. See README.md.
package shopify

import "embed"

// Files are the extension's block and translations, and the app's page.
//
//go:embed extensions/chat/blocks extensions/chat/locales app
var Files embed.FS

// Extension is the folder of the extension in Files.
const Extension = "extensions/chat"
