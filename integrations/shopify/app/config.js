// The UUID of the extension, which the Shopify CLI writes into .env as
// SHOPIFY_CHAT_ID, and the file name of its block: with both, the link to the theme
// editor also chooses the chat there.
export default { extension: "", handle: "chat" };
