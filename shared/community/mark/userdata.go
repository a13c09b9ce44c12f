package mark

import (
	"context"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Forget removes the author, and the author's edit, from the item of a message; see
// [community.Forget]. Reactions of others stay.
func Forget(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (was, ok bool, err error) {
	if !strings.HasPrefix(n.Key, messagePrefix) {
		return false, false, nil
	}
	was, err = userdata.EditItem(ctx, store, n, func(is *record) bool {
		if is.From != userID {
			return false
		}
		is.From, is.Body = "", nil
		return true
	})
	return was, true, err
}
