package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// The fake desk that the bundle makes tickets at.
const (
	zendeskClient     = wiring.DevelopmentDeskClient
	zendeskSecret     = wiring.DevelopmentDeskSecret
	zendeskGroupField = 360000000001
	zendeskHookSecret = wiring.DevelopmentHookSecret
)

// agents are who may take a ticket; their UserIDs are their ids at the desk.
var agents = []string{"701", "702"}

// deskOf returns a fake desk without tickets, served at a URL, and what the bundle needs
// to know of it. It forgets its tickets in a restart while the bundle's state stays, so
// their numbers begin with the time.
func deskOf(kind, url string) (desktest.Fake, map[string]string) {
	if kind == "salesforce" {
		fake := desktest.NewSalesforce(desktest.SalesforceConfig{
			URL: url, APIVersion: "v67.0", ClientID: zendeskClient, ClientSecret: zendeskSecret, KeyField: salesforce.KeyField, GroupField: salesforce.GroupField,
			HMACKey: wiring.DevelopmentOrgKey, FirstCase: int(time.Now().Unix()), Now: time.Now,
		})
		return fake, said(map[string]string{
			"SALESFORCE_URL": url, "SALESFORCE_API_VERSION": "v67.0", "SALESFORCE_CLIENT_ID": zendeskClient, "SALESFORCE_CLIENT_SECRET": zendeskSecret,
			"SALESFORCE_HMAC_KEY": wiring.DevelopmentOrgKey,
		})
	}
	fake := desktest.NewZendesk(desktest.ZendeskConfig{
		ClientID: zendeskClient, ClientSecret: zendeskSecret, GroupField: zendeskGroupField, WebhookSecret: zendeskHookSecret,
		Agents: agents, FirstTicket: int(time.Now().Unix()), Now: time.Now,
	})
	return fake, said(map[string]string{
		"ZENDESK_URL": url, "ZENDESK_CLIENT_ID": zendeskClient, "ZENDESK_CLIENT_SECRET": zendeskSecret,
		"ZENDESK_GROUP_FIELD": strconv.Itoa(zendeskGroupField), "ZENDESK_WEBHOOK_SECRETS": zendeskHookSecret,
	})
}

// said adds what requesters are told.
func said(settings map[string]string) map[string]string {
	settings["DESK_QUEUE_NOTICE"] = "You are number {place} in the queue."
	settings["DESK_SURVEY"] = "How was our help? Answer with a number from 1 to 5."
	return settings
}

// support lets the page play both sides of a ticket: who asks, and the desk.
type support struct {
	desk   desktest.Fake
	bundle http.Handler
	base   string // the bundle's URL, for the desk's webhooks
	chat   *im.Client
	client *http.Client
}

// ticket is a ticket as the page shows it.
type ticket struct {
	desktest.Ticket
	Members []string `json:"members"` // of its group
}

func (s *support) routes(own func(pattern string, h http.Handler)) {
	own("GET /dev/tickets", api.HandlerFunc(s.list))
	own("POST /dev/tickets", api.HandlerFunc(s.open))
	own("POST /dev/tickets/{id}/assign", api.HandlerFunc(s.assign))
	own("POST /dev/tickets/{id}/solve", api.HandlerFunc(s.solve))
	own("POST /dev/tickets/{id}/close", api.HandlerFunc(s.close))
}

func (s *support) list(w http.ResponseWriter, r *http.Request) error {
	list := []ticket{}
	for _, t := range s.desk.Tickets() {
		members, err := s.members(r.Context(), t.Group)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "the emulator does not list the members of the group")
		}
		list = append(list, ticket{t, members})
	}
	api.Reply(w, http.StatusOK, map[string]any{"tickets": list, "agents": agents})
	return nil
}

// members returns who is in a group, nobody if it is gone.
func (s *support) members(ctx context.Context, groupID string) ([]string, error) {
	ids := []string{}
	if groupID == "" {
		return ids, nil
	}
	page, err := s.chat.GroupMembers(ctx, im.MembersQuery{GroupID: groupID})
	if errors.Is(err, im.CodeGroupGone) || errors.Is(err, im.CodeBadGroupID) {
		return ids, nil
	}
	for _, m := range page.Members {
		ids = append(ids, m.UserID)
	}
	return ids, err
}

// open asks for help as a server of the app does for its user.
func (s *support) open(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		UserID string `json:"userId"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"userId": asked.UserID, "caseInfo": map[string]string{
		"subject": "printer offline", "desc": "It says PC LOAD LETTER.", "name": asked.UserID, "email": asked.UserID + "@example.com",
	}})
	if err != nil {
		return err
	}
	onward, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "/createticket", bytes.NewReader(body))
	if err != nil {
		return err
	}
	onward.Header.Set("Content-Type", "application/json")
	onward.Header.Set("Authorization", "Bearer "+wiring.DevelopmentKey)
	onward.Header.Set("Idempotency-Key", cmp.Or(r.Header.Get("Idempotency-Key"), rand.Text()))
	s.bundle.ServeHTTP(w, onward)
	return nil
}

func (s *support) assign(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Agent string `json:"agent"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	if asked.Agent != "" && (usersig.CheckUserID(asked.Agent) != nil || s.isZendesk() && strings.Trim(asked.Agent, "0123456789") != "") {
		return fault.New(fault.Invalid, "agent is the id of an agent at the desk, such as %s; nothing for nobody", agents[0])
	}
	if err := s.changeable(r.PathValue("id")); err != nil {
		return err
	}
	return s.change(w, r, func(id string) desktest.Delivery { return s.desk.Assign(id, asked.Agent) })
}

// solve solves a ticket, as its agent does in Zendesk.
func (s *support) solve(w http.ResponseWriter, r *http.Request) error {
	if err := s.changeable(r.PathValue("id")); err != nil {
		return err
	}
	return s.change(w, r, s.desk.Solve)
}

func (s *support) isZendesk() bool {
	_, is := s.desk.(*desktest.Zendesk)
	return is
}

// changeable refuses a ticket that Zendesk has closed: its agents cannot change it.
func (s *support) changeable(id string) error {
	for _, t := range s.desk.Tickets() {
		if t.ID == id && t.Status == "closed" && s.isZendesk() {
			return fault.New(fault.Conflict, "the ticket is closed, and Zendesk lets nobody change it")
		}
	}
	return nil
}

func (s *support) close(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Closed bool `json:"closed"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	return s.change(w, r, func(id string) desktest.Delivery { return s.desk.SetClosed(id, asked.Closed) })
}

// change changes a ticket at the desk, whose webhook then tells the bundle.
func (s *support) change(w http.ResponseWriter, r *http.Request, do func(id string) desktest.Delivery) error {
	id := r.PathValue("id")
	known := false
	for _, t := range s.desk.Tickets() {
		known = known || t.ID == id
	}
	if !known {
		return fault.New(fault.NotFound, "there is no ticket with this id")
	}
	resp, err := s.client.Do(do(id).Request(r.Context(), s.base))
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bundle did not answer the webhook")
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the bundle answered the webhook with %d", resp.StatusCode)
	}
	api.Reply(w, http.StatusOK, map[string]string{"id": id})
	return nil
}
