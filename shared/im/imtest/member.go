package imtest

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// The results of adding a member (269/1621).
const (
	addFailed  = 0
	added      = 1
	wasMember  = 2
	needAnswer = 3
)

// addMembers puts users into a group, by REST or by a member's invitation, and
// returns what became of each.
func (a *App) addMembers(groupID, operator string, ids []string, from origin) (map[string]int, error) {
	a.mu.Lock()
	g, err := a.existing(groupID)
	if err == nil && g.isAVRoom() {
		err = fail(10007, "an AVChatRoom takes no added members")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	result := make(map[string]int, len(ids))
	var wanted []string
	for _, id := range ids {
		switch {
		case g.members[id] != nil:
			result[id] = wasMember
		case a.user(id) == nil || g.banned[id].After(a.clock.Now()):
			result[id] = addFailed
		case !slices.Contains(wanted, id):
			wanted = append(wanted, id)
		}
	}
	a.mu.Unlock()
	if len(wanted) == 0 {
		return result, nil
	}

	v := a.before(notice{command: "Group.CallbackBeforeInviteJoinGroup", from: from, body: object{
		"GroupId", groupID, "Type", a.typeName(g), "Operator_Account", operator,
		"DestinationMembers", accounts("Member_Account", wanted), "EventTime", a.eventTime(),
	}})
	if err := a.refusal(groupVerdicts, v); err != nil {
		return nil, err
	}

	a.mu.Lock()
	if a.groups[groupID] != g {
		a.mu.Unlock()
		return nil, fail(10010, "the group does not exist")
	}
	var joined []string
	tooMany := false
	for _, id := range wanted {
		switch {
		case slices.Contains(v.RefusedMembers_Account, id):
			result[id] = addFailed
		case g.members[id] != nil: // somebody was faster
			result[id] = wasMember
		case g.full():
			tooMany = true
			result[id] = addFailed
		default:
			g.add(id, "Member", a.clock.Now())
			joined = append(joined, id)
			result[id] = added
		}
	}
	full := tooMany || len(joined) > 0 && g.full()
	a.mu.Unlock()
	a.joined(g, operator, joined, "Invited", from)
	if full {
		a.groupFull(g, from)
	}
	if tooMany && len(joined) == 0 {
		return nil, fail(10014, "the group is full")
	}
	return result, nil
}

// ErrAwaitsConsent is the error of Join if a leader of the group must admit the user;
// see [Client.Admit].
var ErrAwaitsConsent = errors.New("imtest: the application waits for a leader's consent")

// Join applies for a group, or enters an AVChatRoom on this device. A Web device
// leaves the AVChatRoom it is in first; see AppConfig.WebRooms.
func (c *Client) Join(groupID string) error {
	a := c.app
	a.mu.Lock()
	g, err := a.mayApply(c, groupID)
	var surplus *group
	if err == nil {
		surplus = a.surplusRoom(c, g)
	}
	a.mu.Unlock()
	if err != nil {
		return a.notJoined(c, g, err)
	}
	if surplus != nil {
		if err := c.Quit(surplus.id); err != nil {
			return err
		}
	}
	v := a.before(notice{command: "Group.CallbackBeforeApplyJoinGroup", from: c.from, body: object{
		"GroupId", groupID, "Type", a.typeName(g), "Requestor_Account", c.userID, "EventTime", a.eventTime(),
	}})
	if err := a.refusal(groupVerdicts, v); err != nil {
		return err
	}

	a.mu.Lock()
	if g, err = a.mayApply(c, groupID); err != nil { // somebody may have been faster
		a.mu.Unlock()
		return a.notJoined(c, g, err)
	}
	if g.isAVRoom() {
		first := g.enterRoom(c, a.clock.Now())
		p := g.online[c.userID]
		recovered := p.offline
		p.offline = false
		a.mu.Unlock()
		switch {
		case first:
			a.joined(g, c.userID, []string{c.userID}, "Apply", c.from)
			a.after(a.memberState(g, "Online", "Join", []string{c.userID}))
		case recovered:
			a.after(a.memberState(g, "Online", "HeartbeatRecover", []string{c.userID}))
		}
		return nil
	}
	if g.applyOption == "NeedPermission" {
		if !slices.Contains(g.applicants, c.userID) {
			g.applicants = append(g.applicants, c.userID)
			for _, id := range g.joinOrder {
				if g.leads(id) {
					a.tipUser(id, g, Tip{What: "applied", Operator: c.userID, Users: []string{c.userID}})
				}
			}
		}
		a.mu.Unlock()
		return ErrAwaitsConsent
	}
	g.add(c.userID, "Member", a.clock.Now())
	full := g.full()
	a.mu.Unlock()
	a.joined(g, c.userID, []string{c.userID}, "Apply", c.from)
	if full {
		a.groupFull(g, c.from)
	}
	return nil
}

// mayApply checks a join. The caller holds the lock.
func (a *App) mayApply(c *Client, groupID string) (*group, error) {
	g, err := a.existing(groupID)
	switch {
	case c.gone:
		return g, errLoggedOut
	case err != nil:
		return nil, err
	case g.members[c.userID] != nil:
		return g, fail(10013, "already a member")
	case g.banned[c.userID].After(a.clock.Now()):
		return g, fail(10007, "banned from the group")
	case g.applyOption == "DisableApply":
		return g, fail(10007, "the group takes no applications")
	case g.full():
		return g, fail(10014, "the group is full")
	}
	return g, nil
}

// notJoined calls back when a join failed because the group is full.
func (a *App) notJoined(c *Client, g *group, err error) error {
	if Code(err) == 10014 {
		a.groupFull(g, c.from)
	}
	return err
}

// Admit accepts a user's application for a group. Only a leader of the group may.
func (c *Client) Admit(groupID, userID string) error {
	a := c.app
	a.mu.Lock()
	g, err := a.existing(groupID)
	switch {
	case err != nil:
	case c.gone:
		err = errLoggedOut
	case !g.leads(c.userID):
		err = fail(10007, "only the group's leaders let people in")
	case !slices.Contains(g.applicants, userID):
		err = fail(10004, "no such application")
	case g.full():
		err = fail(10014, "the group is full")
	}
	if err != nil {
		a.mu.Unlock()
		return a.notJoined(c, g, err)
	}
	g.applicants = slices.DeleteFunc(g.applicants, func(x string) bool { return x == userID })
	if g.members[userID] == nil {
		g.add(userID, "Member", a.clock.Now())
	}
	full := g.full()
	a.mu.Unlock()
	a.joined(g, c.userID, []string{userID}, "Apply", c.from)
	if full {
		a.groupFull(g, c.from)
	}
	return nil
}

// Invite adds users to a group the device's user is in.
func (c *Client) Invite(groupID string, userIDs ...string) (map[string]int, error) {
	a := c.app
	a.mu.Lock()
	g, err := a.existing(groupID)
	switch {
	case c.gone:
		err = errLoggedOut
	case err != nil:
	case !g.present(c.userID), g.inviteOption == "DisableInvite":
		err = fail(10007, "the user may not invite")
	}
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return a.addMembers(groupID, c.userID, userIDs, c.from)
}

// Quit leaves a group, or an AVChatRoom on this device.
func (c *Client) Quit(groupID string) error {
	a := c.app
	a.mu.Lock()
	g, err := a.existing(groupID)
	switch {
	case c.gone:
		err = errLoggedOut
	case err != nil:
	case !g.present(c.userID):
		err = fail(10007, "not in the group")
	case c.userID == g.owner && g.kind != typeWork && !g.isAVRoom():
		err = fail(10009, "an owner may leave only a Work group")
	}
	if err != nil {
		a.mu.Unlock()
		return err
	}
	p := g.online[c.userID]
	if p != nil {
		if len(p.devices) > 1 || !slices.Contains(p.devices, c) {
			p.devices = slices.DeleteFunc(p.devices, func(x *Client) bool { return x == c })
			c.forgetRoom(g)
			a.mu.Unlock()
			return nil
		}
		g.leaveRoom(c.userID)
	} else {
		g.remove(c.userID)
	}
	a.mu.Unlock()
	a.left(g, c.userID, []string{c.userID}, "Quit", c.from)
	if p != nil && !p.offline {
		a.after(a.memberState(g, "Offline", "Quit", []string{c.userID}))
	}
	return nil
}

// CreateGroup creates a group with the device's user as its owner, and returns its
// GroupID.
func (c *Client) CreateGroup(kind, groupID, name string) (string, error) {
	if err := c.alive(); err != nil {
		return "", err
	}
	return c.app.create(creation{kind: kind, id: groupID, name: name, owner: c.userID, operator: c.userID, from: c.from})
}

// joined tells the backend that users are in.
func (a *App) joined(g *group, operator string, ids []string, how string, from origin) {
	if len(ids) == 0 {
		return
	}
	a.mu.Lock()
	if operator != ids[0] {
		for _, id := range ids {
			a.tipUser(id, g, Tip{What: map[string]string{"Invited": "invited", "Apply": "accepted"}[how], Operator: operator, Users: []string{id}})
		}
	}
	a.tip(g, Tip{What: "joined", Operator: operator, Users: ids})
	a.mu.Unlock()
	a.after(notice{command: "Group.CallbackAfterNewMemberJoin", from: from, body: object{
		"GroupId", g.id, "Type", a.typeName(g), "JoinType", how, "Operator_Account", operator,
		"NewMemberList", accounts("Member_Account", ids), "EventTime", a.eventTime(),
	}})
}

// left tells the backend that users are out.
func (a *App) left(g *group, operator string, ids []string, how string, from origin) {
	if len(ids) == 0 {
		return
	}
	a.mu.Lock()
	a.tip(g, Tip{What: strings.ToLower(how), Operator: operator, Users: ids})
	a.mu.Unlock()
	a.after(notice{command: "Group.CallbackAfterMemberExit", from: from, body: object{
		"GroupId", g.id, "Type", a.typeName(g), "ExitType", how, "Operator_Account", operator,
		"ExitMemberList", accounts("Member_Account", ids), "EventTime", a.eventTime(),
	}})
}

// groupFull is sent when a join fills a group, and again by every join that
// fails because it is full (1047/34376).
func (a *App) groupFull(g *group, from origin) {
	a.after(notice{command: "Group.CallbackAfterGroupFull", from: from, body: object{"GroupId", g.id, "EventTime", a.eventTime()}})
}

// removeMembers takes users out of a group; those who are not in do not matter.
func (a *App) removeMembers(groupID, operator string, ids []string, from origin) error {
	a.mu.Lock()
	g, err := a.existing(groupID)
	if err == nil && g.isAVRoom() {
		err = fail(10004, "an AVChatRoom has no members to remove; ban them")
	}
	if err != nil {
		a.mu.Unlock()
		return err
	}
	out := a.takeOut(g, ids, "kicked", operator)
	a.mu.Unlock()
	a.left(g, operator, out, "Kicked", from)
	return nil
}

// takeOut removes users and tells their devices. The caller holds the lock.
func (a *App) takeOut(g *group, ids []string, reason, operator string) (out []string) {
	for _, id := range ids {
		if !g.present(id) || id == g.owner && !g.isAVRoom() {
			continue
		}
		a.tellUser(g, id, &Event{Kind: "left", GroupID: g.id, Reason: reason, Tip: &Tip{What: reason, Operator: operator, Users: []string{id}}})
		if g.isAVRoom() {
			g.leaveRoom(id)
		} else {
			g.remove(id)
		}
		out = append(out, id)
	}
	return out
}

// ban removes users and keeps them out until the time given.
func (a *App) ban(groupID, operator string, ids []string, until time.Time, from origin) error {
	a.mu.Lock()
	g, err := a.mayBan(groupID)
	if err != nil {
		a.mu.Unlock()
		return err
	}
	for _, id := range ids {
		g.banned[id] = until
	}
	out := a.takeOut(g, ids, "banned", operator)
	a.mu.Unlock()
	a.left(g, operator, out, "Kicked", from)
	return nil
}

// mayBan returns the group if its members can be banned. The caller holds the
// lock.
func (a *App) mayBan(groupID string) (*group, error) {
	g, err := a.existing(groupID)
	switch {
	case err != nil:
		return nil, err
	case a.conf.NoBan || a.conf.Edition > Pro:
		return nil, fail(10007, "banning is switched off or not in this edition")
	case g.kind == typeCommunity:
		return nil, fail(10007, "a Community takes no bans")
	}
	return g, nil
}
