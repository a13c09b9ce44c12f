// Package zendesk holds what runs at Zendesk: the definitions of webhooks and of the
// trigger, which imctl installs, and the app that shows a ticket's chat. See
// README.md.
package zendesk

import "embed"

// Definitions are the requests that make the webhooks and the trigger. In them
// {{bundle}} is the address of the bundle, and {{webhook}} the id of the trigger's
// webhook.
//
//go:embed definitions
var Definitions embed.FS

// App is the app, in which {{bundle}} is the address of the bundle.
//
//go:embed app
var App embed.FS

// Page is what the app's frames show: a page of the bundle's own.
//
//go:embed page
var Page embed.FS
