package imtest

import (
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Accounts and presence (269/1608, 269/4919, 269/38417, 269/3853, 269/2566).

var accountMisfits = misfits{"": 70402}

type profileSeed struct {
	UserID        string `old:"Identifier"`
	Nick, FaceUrl string
}

// importUser makes an account or updates its profile. The caller holds the lock.
func (a *App) importUser(p profileSeed) error {
	if usersig.CheckUserID(p.UserID) != nil {
		return fail(70402, "UserID is missing, over 32 bytes or has strange characters")
	}
	u := a.accounts[p.UserID]
	switch {
	case u == nil:
		u = newAccount(p.UserID)
		a.accounts[p.UserID] = u
	case u.deleted:
		return fail(70399, "the account was deleted")
	}
	for tag, value := range map[string]string{tagNick: p.Nick, tagImage: p.FaceUrl} {
		if value != "" {
			u.profile[tag] = value
		}
	}
	return nil
}

func accountImport(a *App, in profileSeed) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.importUser(in); err != nil {
		return nil, err
	}
	return ok, nil
}

type multiImport struct {
	AccountList []profileSeed
	Accounts    []string // the old form
}

func multiaccountImport(a *App, in multiImport) (object, error) {
	for _, id := range in.Accounts {
		in.AccountList = append(in.AccountList, profileSeed{UserID: id})
	}
	if n := len(in.AccountList); n == 0 || n > 100 {
		return nil, fail(70402, "1 to 100 accounts")
	}
	failed := []string{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range in.AccountList {
		if a.importUser(p) != nil {
			failed = append(failed, p.UserID)
		}
	}
	return ok.with("FailAccounts", failed), nil
}

type userIDs []struct {
	UserID string `old:"Identifier"`
}

type checkItems struct{ CheckItem userIDs }

func accountCheck(a *App, in checkItems) (object, error) {
	if n := len(in.CheckItem); n == 0 || n > 100 {
		return nil, fail(70402, "1 to 100 accounts")
	}
	items := make([]object, len(in.CheckItem))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, item := range in.CheckItem {
		status := "NotImported"
		if a.user(item.UserID) != nil {
			status = "Imported"
		}
		items[i] = object{"UserID", item.UserID, "ResultCode", 0, "ResultInfo", "", "AccountStatus", status}
	}
	return ok.with("ResultItem", items), nil
}

type deleteItems struct{ DeleteItem userIDs }

func accountDelete(a *App, in deleteItems) (object, error) {
	if n := len(in.DeleteItem); n == 0 || n > 100 {
		return nil, fail(70402, "1 to 100 accounts")
	}
	items := make([]object, len(in.DeleteItem))
	for i, item := range in.DeleteItem {
		code, info := 0, ""
		if err := a.logOut(item.UserID, func(u *account) { u.deleted = true }); err != nil {
			code, info = Code(err), err.Error()
		}
		items[i] = object{"UserID", item.UserID, "ResultCode", code, "ResultInfo", info}
	}
	return ok.with("ResultItem", items), nil
}

type kickRequest struct {
	UserID string `old:"Identifier"`
}

func kick(a *App, in kickRequest) (object, error) {
	if in.UserID == "" {
		return nil, fail(70402, "UserID is missing")
	}
	now := a.clock.Now()
	if err := a.logOut(in.UserID, func(u *account) { u.kicked = now }); err != nil {
		return nil, err
	}
	return ok, nil
}

// logOut ends all logins of a user, changes the account, and tells the backend.
func (a *App) logOut(id string, change func(*account)) error {
	a.mu.Lock()
	u := a.user(id)
	if u == nil {
		a.mu.Unlock()
		return fail(70107, "the account does not exist")
	}
	var out []*Client
	for len(u.devices) > 0 {
		c := u.devices[0]
		c.push(&Event{Kind: "kickedOffline", Reason: "rest"})
		a.unlink(c)
		out = append(out, c)
	}
	change(u)
	a.mu.Unlock()
	for _, c := range out {
		a.stateChanged(c, "Logout", "Unregister", nil)
	}
	return nil
}

type statusQuery struct {
	To_Account   []string //nolint:revive // IM's spelling
	IsNeedDetail int
}

// queryOnlineStatus answers with IM's belief: a device that vanished counts
// until IM notices. field is how the answer names the status.
func queryOnlineStatus(field string) func(*App, statusQuery) (object, error) {
	return func(a *App, in statusQuery) (object, error) {
		switch n := len(in.To_Account); {
		case n == 0:
			return nil, fail(90003, "To_Account is missing")
		case n > 500:
			return nil, fail(90011, "over 500 accounts")
		}
		results, failed := []object{}, []object{}
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, id := range in.To_Account {
			u := a.user(id)
			if u == nil {
				failed = append(failed, object{"To_Account", id, "ErrorCode", 70107})
				continue
			}
			status, details := "Offline", []object{}
			for _, c := range u.devices {
				status = "Online"
				details = append(details, object{"Platform", c.platform, "Status", "Online"})
			}
			result := object{"To_Account", id, field, status}
			if in.IsNeedDetail == 1 && len(details) > 0 {
				result = result.with("Detail", details)
			}
			results = append(results, result)
		}
		out := ok.with("QueryResult", results)
		if len(failed) > 0 {
			out = out.with("ErrorList", failed)
		}
		return out, nil
	}
}

type nospeaking struct {
	Set_Account            string //nolint:revive // IM's spelling
	C2CmsgNospeakingTime   *uint32
	GroupmsgNospeakingTime *uint32
}

// forEver is the number of seconds that means no end.
const forEver = 1<<32 - 1

// until is the end of a span in seconds from now, as IM counts them.
func (a *App) until(seconds uint32) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	if seconds == forEver {
		return time.Unix(forEver, 0)
	}
	return a.clock.Now().Add(time.Duration(seconds) * time.Second)
}

func setNospeaking(a *App, in nospeaking) (object, error) {
	if in.Set_Account == "" || in.C2CmsgNospeakingTime == nil && in.GroupmsgNospeakingTime == nil {
		return nil, fail(130001, "Set_Account or the times are missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(in.Set_Account)
	if u == nil {
		return nil, fail(70107, "the account does not exist")
	}
	if t := in.C2CmsgNospeakingTime; t != nil {
		u.c2cMutedUntil = a.until(*t)
	}
	if t := in.GroupmsgNospeakingTime; t != nil {
		u.groupMutedUntil = a.until(*t)
	}
	return ok, nil
}

type nospeakingQuery struct {
	Get_Account string //nolint:revive // IM's spelling
}

// getNospeaking tells for how many more seconds a user is muted everywhere: 0 is
// not at all, 4294967295 for ever (269/4229). Its answer has no ActionStatus.
func getNospeaking(a *App, in nospeakingQuery) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(in.Get_Account)
	if u == nil {
		return nil, fail(70107, "the account does not exist")
	}
	return object{
		"ErrorCode", 0, "ErrorInfo", "", "C2CmsgNospeakingTime", a.remaining(u.c2cMutedUntil),
		"GroupmsgNospeakingTime", a.remaining(u.groupMutedUntil),
	}, nil
}

// remaining is how many seconds are left until a time that until made.
func (a *App) remaining(until time.Time) uint32 {
	left := until.Sub(a.clock.Now())
	switch {
	case until.Unix() == forEver:
		return forEver
	case until.IsZero() || left <= 0:
		return 0
	}
	return uint32((left + time.Second - 1) / time.Second)
}

type appInfoQuery struct {
	RequestField []string
	MaxDays      int
}

// getAppInfo tells what happened in the app, as texts (269/4193): the emulator
// has one entry, of today, with what it counts. Its answer has no ActionStatus.
func getAppInfo(a *App, in appInfoQuery) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	users, online, c2c, group := 0, 0, 0, 0
	for _, u := range a.accounts {
		users += flag(!u.deleted)
		online += flag(len(u.devices) > 0)
	}
	for _, c := range a.conversations {
		c2c += len(c.history)
	}
	for _, g := range a.groups {
		group += len(g.line.history)
		for _, t := range g.topics {
			group += len(t.line.history)
		}
	}
	info := object{
		"AppId", decimal(int(a.conf.SDKAppID)), "Date", a.clock.Now().Format("20060102"), "RegistUserNumTotal", decimal(users),
		"LoginUserNum", decimal(online), "UpMsgNum", decimal(c2c + group), "C2CUpMsgNum", decimal(c2c), "GroupUpMsgNum", decimal(group),
		"GroupAllGroupNum", decimal(len(a.groups)),
	}
	return object{"ErrorCode", 0, "ErrorInfo", "", "Result", []object{info.only(in.RequestField)}}, nil
}

func decimal(n int) string { return strconv.Itoa(n) }
