package imtest

import (
	"encoding/json"
	"net/http"
	"slices"
)

// What the client SDK does with commands that the REST API has too, as far as the
// user may (269/1502).

// userFields are the fields of a request that decide whether a user may make it.
type userFields struct {
	GroupId, TopicId, From_Account, Member_Account, Owner_Account string          //nolint:revive // IM's spelling
	Role                                                          json.RawMessage //
	MuteTime                                                      json.RawMessage `old:"ShutUpTime"`
}

// userRule says whether a user may make a request; g is nil where the request
// names no group that exists. The caller holds the lock.
type userRule func(c *Client, g *group, f userFields) error

var errNotAllowed = fail(10007, "the user may not do this in the group")

func anybody(*Client, *group, userFields) error { return nil }

// self: the request is about the user.
func self(c *Client, _ *group, f userFields) error {
	if f.From_Account != c.userID {
		return fail(60010, "From_Account must be the user")
	}
	return nil
}

func inGroup(c *Client, g *group, _ userFields) error {
	if g != nil && !g.present(c.userID) {
		return errNotAllowed
	}
	return nil
}

func leading(c *Client, g *group, _ userFields) error {
	if g != nil && !g.leads(c.userID) {
		return errNotAllowed
	}
	return nil
}

// granted makes a rule of a right of IM's permission groups: leaders may, and whom a
// permission group lets.
func granted(right, topicRight uint64) userRule {
	return func(c *Client, g *group, f userFields) error {
		if g != nil && g.granted(c.userID, right, f.TopicId, topicRight) {
			return nil
		}
		return leading(c, g, f)
	}
}

func owning(c *Client, g *group, _ userFields) error {
	if g != nil && g.owner != c.userID {
		return errNotAllowed
	}
	return nil
}

// editing: everybody in a Work group changes its profile, in the others its
// leaders.
func editing(c *Client, g *group, f userFields) error {
	if g != nil && g.kind == typeWork {
		return inGroup(c, g, f)
	}
	return granted(rightEditGroup, 0)(c, g, f)
}

// editingMember: users change what is their own, leaders mute, the owner appoints.
func editingMember(c *Client, g *group, f userFields) error {
	switch {
	case len(f.Role) > 0:
		return owning(c, g, f)
	case len(f.MuteTime) > 0 || f.Member_Account != c.userID:
		return leading(c, g, f)
	}
	return inGroup(c, g, f)
}

// listing: users ask for their own groups.
func listing(c *Client, _ *group, f userFields) error {
	if f.Member_Account != c.userID {
		return fail(60010, "Member_Account must be the user")
	}
	return nil
}

func creating(c *Client, _ *group, f userFields) error {
	if f.Owner_Account != "" && f.Owner_Account != c.userID {
		return fail(10004, "Owner_Account must be the user")
	}
	return nil
}

// userCommands are the commands that users make as well, with who may.
var userCommands = map[string]userRule{
	"group_open_http_svc/create_group":                    creating,
	"group_open_http_svc/destroy_group":                   owning,
	"group_open_http_svc/change_group_owner":              owning,
	"group_open_http_svc/modify_group_base_info":          editing,
	"group_open_http_svc/modify_group_member_info":        editingMember,
	"group_open_http_svc/delete_group_member":             granted(rightManageMembers, 0),
	"group_open_http_svc/ban_group_member":                leading,
	"group_open_http_svc/unban_group_member":              leading,
	"group_open_http_svc/forbid_send_msg":                 granted(rightMute, topicRightMute),
	"group_open_http_svc/get_group_info":                  anybody,
	"group_open_http_svc/get_joined_group_list":           listing,
	"group_open_http_svc/get_group_member_info":           inGroup,
	"group_open_http_svc/get_specified_group_member_info": inGroup,
	"group_open_http_svc/get_online_member_num":           anybody,
	"group_open_http_svc/set_group_attr":                  inGroup,
	"group_open_http_svc/modify_group_attr":               inGroup,
	"group_open_http_svc/delete_group_attr":               inGroup,
	"group_open_http_svc/clear_group_attr":                inGroup,
	"group_open_attr_http_svc/get_group_attr":             inGroup,
	"group_open_http_svc/update_group_counter":            inGroup,
	"group_open_http_svc/get_group_counter":               inGroup,
	"group_open_avchatroom_http_svc/get_members":          inGroup,
	"million_group_open_http_svc/get_topic":               inGroup,
	"million_group_open_http_svc/create_topic":            granted(rightManageTopics, 0),
	"million_group_open_http_svc/modify_topic":            granted(rightManageTopics, topicRightManage),
	"million_group_open_http_svc/destroy_topic":           granted(rightManageTopics, topicRightManage),
	"group_open_avchatroom_http_svc/modify_user_info":     owning,
	"group_open_http_svc/get_group_msg_receipt":           inGroup,
	"group_open_http_svc/get_group_msg_receipt_detail":    inGroup,
	"openim/modify_c2c_msg":                               self,
	"openim/modify_group_msg":                             inGroup,
	"openim_msg_ext_http_svc/set_key_values":              anybody,
	"openim_msg_ext_http_svc/get_key_values":              anybody,
	"openim_msg_ext_http_svc/group_set_key_values":        inGroup,
	"openim_msg_ext_http_svc/group_get_key_values":        inGroup,
	"profile/portrait_get":                                anybody,
	"profile/portrait_set":                                self,
	"openim/query_online_status":                          anybody,
	"recentcontact/delete":                                self,
	"sns/friend_add":                                      self,
	"sns/friend_delete":                                   self,
	"sns/friend_update":                                   self,
	"sns/friend_get":                                      self,
	"sns/friend_get_list":                                 self,
	"sns/friend_check":                                    self,
	"sns/black_list_add":                                  self,
	"sns/black_list_delete":                               self,
	"sns/black_list_get":                                  self,
	"sns/black_list_check":                                self,
	"sns/group_add":                                       self,
	"sns/group_delete":                                    self,
	"sns/group_get":                                       self,
}

// Do performs a command, with the REST API's name and fields, for the device's user as
// the client SDK does, and returns IM's answer. Do fails with an [*Error] if IM would
// refuse the command: 10007 where the user lacks the role, 60009 for a command that
// users do not have.
func (c *Client) Do(command string, body []byte) ([]byte, error) {
	rule, known := userCommands[command]
	if !known {
		return nil, fail(60009, "users have no such command")
	}
	var f userFields
	if err := new(reader).read(body, &f); err != nil {
		return nil, fail(60003, "the request does not fit: "+err.Error())
	}
	a := c.app
	a.mu.Lock()
	err := rule(c, a.groups[f.GroupId], f)
	if c.gone {
		err = errLoggedOut
	}
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out, _, err := commands[command].do(a, caller{id: c.userID, from: c.from, user: true}, body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// CheckSig checks the UserSig that a device logged in with, which may have expired
// since or have been voided by a kick.
func (a *App) CheckSig(userID, sig string) error { return a.checkSig(userID, sig) }

// App returns the device's app.
func (c *Client) App() *App { return c.app }

// App returns an app by its SDKAppID, or nil.
func (s *Server) App(sdkAppID uint32) *App { return s.app(sdkAppID) }

// Handle serves more routes under the emulator's address. As with the routes of
// its own, over loopback the Host must name this machine.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !properHost(r) {
			refuse(w, http.StatusForbidden, fail(http.StatusForbidden, "the Host is not of this machine"))
			return
		}
		h.ServeHTTP(w, r)
	}))
}

// Controlled reports whether the server serves /emulator/; see Options.Control.
func (s *Server) Controlled() bool { return s.control }

// Origins returns the origins of pages, other than the server's own, that may use the
// emulator's routes; see Options.
func (s *Server) Origins() []string { return slices.Clone(s.origins) }

// Face returns a user's name and picture, "" for one that is not set.
func (a *App) Face(userID string) (nick, faceURL string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(userID)
	if u == nil {
		return "", ""
	}
	nick, _ = u.profile[tagNick].(string)
	faceURL, _ = u.profile[tagImage].(string)
	return nick, faceURL
}

// GroupBrief is the summary of a group that the client SDK gets with every message.
type GroupBrief struct {
	Type, Name   string
	Members      int
	NextSeq      uint32
	AttributeSeq int // grows with each write of attributes
	Online       int // users there, of an AVChatRoom
}

// Brief returns a summary of a group, or the zero value if the group does not exist.
func (a *App) Brief(groupID string) GroupBrief {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groups[groupID]
	if g == nil {
		return GroupBrief{}
	}
	return GroupBrief{
		Type: g.kind, Name: g.name, Members: len(g.joinOrder), NextSeq: g.line.lastSeq + 1, AttributeSeq: g.attributeSeq, Online: len(g.online),
	}
}

// NoteUnknown records a command that the emulator does not know in the app's calls.
func (a *App) NoteUnknown(command string, body []byte) {
	a.noteREST(RESTCall{Command: command, Body: string(body), Code: 60009})
}
