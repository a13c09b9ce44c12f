package imtest

import (
	"slices"
	"time"
)

// Heartbeats of AVChatRooms and of connections (1047/48734, 1047/34357).
const (
	heartbeatCheck = 20 * time.Second
	heartbeatLost  = 30 * time.Second
	linkLostWeb    = 60 * time.Second
	linkLost       = 400 * time.Second
)

// presence is one user in an AVChatRoom, over all devices.
type presence struct {
	devices []*Client
	joined  time.Time
	offline bool // the heartbeat was missed
	marks   []int
}

// Vanish stops the device's heartbeats without a logout, as a tunnel or a flat
// battery does: IM notices in AVChatRooms after 30 to 50 seconds, in the account's
// state after a minute (Web) or 400 seconds.
func (c *Client) Vanish() {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	c.app.vanish(c)
}

// vanish is Vanish for a caller who holds the lock.
func (a *App) vanish(c *Client) {
	if c.gone || c.dark {
		return
	}
	a.goDark(c)
	if u := a.accounts[c.userID]; u != nil {
		a.tellStatus(u)
	}
	patience := linkLost
	if c.platform == "Web" {
		patience = linkLostWeb
	}
	darkness := c.darkness
	a.clock.after(patience, func() {
		a.mu.Lock()
		lost := !c.gone && c.dark && c.darkness == darkness
		if lost {
			a.unlink(c)
		}
		a.mu.Unlock()
		if lost {
			a.stateChanged(c, "Disconnect", "TimeOut", nil)
		}
	})
}

// goDark notes that heartbeats end now, and has them checked. The caller holds
// the lock.
func (a *App) goDark(c *Client) {
	if !c.dark {
		c.dark = true
		c.darkness++
		c.lastBeat = a.clock.Now()
	}
	if !a.sweeping {
		a.sweeping = true
		a.clock.after(a.untilCheck(), a.sweep)
	}
}

// untilCheck is how long it is until heartbeats are checked the next time.
func (a *App) untilCheck() time.Duration {
	return heartbeatCheck - a.clock.Now().Sub(a.started)%heartbeatCheck
}

// sweep checks the heartbeats in all AVChatRooms, every 20 s as long as a device
// without heartbeat is not yet counted as offline.
func (a *App) sweep() {
	a.mu.Lock()
	now := a.clock.Now()
	var notices []notice
	undecided := false
	for _, id := range sortedKeys(a.groups) {
		g := a.groups[id]
		var lost []string
		for _, user := range slices.Clone(g.joinOrder) {
			p := g.online[user]
			if p == nil || p.offline || slices.ContainsFunc(p.devices, func(c *Client) bool { return !c.dark }) {
				continue
			}
			last := slices.MaxFunc(p.devices, func(x, y *Client) int { return x.lastBeat.Compare(y.lastBeat) }).lastBeat
			if now.Sub(last) <= heartbeatLost {
				undecided = true
				continue
			}
			lost = append(lost, user)
			p.offline = true
			p.devices = slices.DeleteFunc(p.devices, func(c *Client) bool { return c.gone })
			if len(p.devices) == 0 {
				g.leaveRoom(user)
			}
		}
		if len(lost) > 0 {
			notices = append(notices, a.memberState(g, "Offline", "HeartbeatInterrupt", lost))
		}
	}
	a.sweeping = undecided
	if undecided {
		a.clock.after(a.untilCheck(), a.sweep)
	}
	a.mu.Unlock()
	a.afterAll(notices)
}

// Heartbeat resumes the heartbeats that Vanish stopped. It fails (6014) if IM has
// closed the connection meanwhile: log in again.
func (c *Client) Heartbeat() error {
	a := c.app
	a.mu.Lock()
	if c.gone {
		a.mu.Unlock()
		return errLoggedOut
	}
	wasDark := c.dark
	c.dark = false
	c.lastBeat = a.clock.Now()
	a.flush(c)
	a.catchUp(c)
	if u := a.accounts[c.userID]; wasDark && u != nil {
		a.tellStatus(u)
	}
	var notices []notice
	for _, id := range sortedKeys(a.groups) {
		g := a.groups[id]
		if p := g.online[c.userID]; p != nil && p.offline && slices.Contains(p.devices, c) {
			p.offline = false
			notices = append(notices, a.memberState(g, "Online", "HeartbeatRecover", []string{c.userID}))
		}
	}
	a.mu.Unlock()
	a.afterAll(notices)
	return nil
}

// memberState tells of users who came or went in an AVChatRoom (1047/48734). It
// needs a plan with the online-member list.
func (a *App) memberState(g *group, event, cause string, ids []string) notice {
	n := notice{command: "Group.CallbackOnMemberStateChange", bare: true, body: object{
		"GroupId", g.id, "EventType", event, "EventCause", cause, "MemberList", accounts("Member_Account", ids),
	}}
	if !a.conf.Unknowns.NoMemberStateTime {
		n.body = n.body.with("EventTime", a.eventTime())
	}
	if a.conf.Edition > Pro {
		n.command = ""
	}
	return n
}

func (a *App) afterAll(notices []notice) {
	for _, n := range notices {
		a.after(n)
	}
}

// enterRoom notes a device in an AVChatRoom and reports whether it is the
// user's first. The caller holds the lock.
func (g *group) enterRoom(c *Client, now time.Time) (first bool) {
	p := g.online[c.userID]
	if p == nil {
		p = &presence{joined: now}
		g.online[c.userID] = p
		g.joinOrder = append(g.joinOrder, c.userID)
		first = true
	}
	if !slices.Contains(p.devices, c) {
		p.devices = append(p.devices, c)
		c.rooms = append(c.rooms, g)
	}
	return first
}

// leaveRoom forgets a user in an AVChatRoom. The caller holds the lock.
func (g *group) leaveRoom(id string) {
	if p := g.online[id]; p != nil {
		for _, c := range p.devices {
			c.forgetRoom(g)
		}
	}
	delete(g.online, id)
	g.joinOrder = slices.DeleteFunc(g.joinOrder, func(x string) bool { return x == id })
}

// forgetRoom notes that a device left an AVChatRoom. The caller holds the lock.
func (c *Client) forgetRoom(g *group) {
	c.rooms = slices.DeleteFunc(c.rooms, func(x *group) bool { return x == g })
}

// surplusRoom returns the AVChatRoom that a device must leave before it joins
// another one, or nil: the official SDK keeps a web client in one AVChatRoom and
// quits the earlier one by itself. The caller holds the lock.
func (a *App) surplusRoom(c *Client, next *group) *group {
	most := a.conf.WebRooms
	if most == 0 {
		most = 1
	}
	if c.platform != "Web" || most < 0 || !next.isAVRoom() || len(c.rooms) < most || slices.Contains(c.rooms, next) {
		return nil
	}
	return c.rooms[0]
}
