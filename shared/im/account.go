package im

import (
	"cmp"
	"context"
	"slices"
)

// Accounts and presence (269/1608, 269/4919, 1047/34954, 269/38417, 269/3853,
// 269/2566).

// How many accounts one call takes; longer lists are sent in several.
const (
	accountsPerCall = 100
	statesPerCall   = 500
	maxProfileText  = 500 // bytes of a Nick, a FaceUrl
)

var (
	accountImport      = method{path: "im_open_login_svc/account_import", repeat: harmless}
	multiaccountImport = method{path: "im_open_login_svc/multiaccount_import", repeat: harmless, rate: slowAPI}
	accountCheck       = method{path: "im_open_login_svc/account_check", repeat: harmless, rate: slowAPI}
	accountDelete      = method{path: "im_open_login_svc/account_delete", repeat: harmless, rate: slowAPI}
	kick               = method{path: "im_open_login_svc/kick", repeat: harmless}
	queryOnlineStatus  = method{path: "openim/query_online_status", repeat: harmless}
)

// Account is a user to import.
type Account struct {
	UserID  string `json:"UserID"`
	Nick    string `json:"Nick,omitempty"`    // at most 500 bytes
	FaceURL string `json:"FaceUrl,omitempty"` // at most 500 bytes
}

func (a Account) check() error {
	return cmp.Or(neededUser("UserID", a.UserID), atMost("Nick", a.Nick, maxProfileText), atMost("FaceUrl", a.FaceURL, maxProfileText))
}

// ImportAccount makes an account, or updates its nick and face if it exists. A
// user exists from then on, or from the first login: import before adding to a
// group or sending. CodeAccountDeleted: the id is not free yet (269/1608).
func (c *Client) ImportAccount(ctx context.Context, a Account) error {
	if err := a.check(); err != nil {
		return err
	}
	return c.call(ctx, accountImport, a, nil)
}

// Imported is the progress of an import.
type Imported struct {
	Done   int      // accounts from the start of the list that IM has answered about
	Failed []string // those of them that it did not import; IM does not say why
}

// ImportAccounts is ImportAccount for many, 100 in a call. With an error, Done
// says where to continue; importing an account twice is a no-op (269/4919).
func (c *Client) ImportAccounts(ctx context.Context, accounts []Account) (Imported, error) {
	var result Imported
	for _, a := range accounts {
		if err := a.check(); err != nil {
			return result, err
		}
	}
	for chunk := range slices.Chunk(accounts, accountsPerCall) {
		var out struct {
			envelope
			FailAccounts []string
		}
		if err := c.call(ctx, multiaccountImport, struct{ AccountList []Account }{chunk}, &out); err != nil {
			return result, err
		}
		result.Done += len(chunk)
		result.Failed = append(result.Failed, out.FailAccounts...)
	}
	return result, nil
}

// userItem names a user in the account service's lists.
type userItem struct{ UserID string }

func userItems(ids []string) []userItem {
	items := make([]userItem, len(ids))
	for i, id := range ids {
		items[i].UserID = id
	}
	return items
}

// AccountCheck says whether a user exists.
type AccountCheck struct {
	UserID   string
	Imported bool
	Code     Code // not 0: IM could not tell
	Info     string
}

// CheckAccounts says of each user whether it exists, asking for 100 in a call
// (269/38417). With an error, the results are those of the first users.
func (c *Client) CheckAccounts(ctx context.Context, ids []string) ([]AccountCheck, error) {
	return inChunks(ids, accountsPerCall, func(ids []string) ([]AccountCheck, error) {
		var out struct {
			envelope
			ResultItem []struct {
				userResult
				AccountStatus string
			}
		}
		err := c.call(ctx, accountCheck, struct{ CheckItem []userItem }{userItems(ids)}, &out)
		checks := make([]AccountCheck, len(out.ResultItem))
		for i, item := range out.ResultItem {
			checks[i] = AccountCheck{item.UserID, item.AccountStatus == "Imported", item.ResultCode, item.ResultInfo}
		}
		return checks, err
	})
}

// DeleteAccounts deletes users with all their data, 100 in a call. An id that
// was deleted cannot be imported for three months. Some plans do not allow it
// (71000). With an error, the results are those of the first users.
func (c *Client) DeleteAccounts(ctx context.Context, ids []string) ([]ItemResult, error) {
	return inChunks(ids, accountsPerCall, func(ids []string) ([]ItemResult, error) {
		var out struct {
			envelope
			ResultItem []userResult
		}
		err := c.call(ctx, accountDelete, struct{ DeleteItem []userItem }{userItems(ids)}, &out)
		results := make([]ItemResult, len(out.ResultItem))
		for i, item := range out.ResultItem {
			results[i] = ItemResult{item.UserID, item.ResultCode, item.ResultInfo}
		}
		return results, err
	})
}

// Kick ends all logins of a user; the UserSig in use is void from then on
// (269/3853).
func (c *Client) Kick(ctx context.Context, userID string) error {
	if err := neededUser("UserID", userID); err != nil {
		return err
	}
	return c.call(ctx, kick, userItem{userID}, nil)
}

// Presence of a user.
const (
	Online     = "Online"
	PushOnline = "PushOnline" // reachable by offline push
	Offline    = "Offline"
)

// OnlineStatus is a user's presence, with the devices.
type OnlineStatus struct {
	UserID string         `json:"To_Account"`
	Status string         `json:"Status"` // Online, PushOnline or Offline
	Detail []DeviceStatus `json:"Detail"` // of each device, for a user who is not Offline
}

// DeviceStatus is a user's presence on one platform.
type DeviceStatus struct {
	Platform string `json:"Platform"`
	Status   string `json:"Status"`
}

// QueryOnlineStatus returns users' presence, asking for 500 in a call, and the users
// whom IM does not know (CodeAccountUnknown). With an error, both are those of the
// first users (269/2566).
func (c *Client) QueryOnlineStatus(ctx context.Context, ids []string) (states []OnlineStatus, failed []ItemResult, err error) {
	states, err = inChunks(ids, statesPerCall, func(ids []string) ([]OnlineStatus, error) {
		in := struct {
			IDs    []string `json:"To_Account"`
			Detail int      `json:"IsNeedDetail"`
		}{ids, 1}
		var out struct {
			envelope
			QueryResult []OnlineStatus
			ErrorList   []itemCode
		}
		err := c.call(ctx, queryOnlineStatus, in, &out)
		for _, item := range out.ErrorList {
			failed = append(failed, ItemResult{ID: item.ToAccount, Code: item.ErrorCode})
		}
		return out.QueryResult, err
	})
	return states, failed, err
}
