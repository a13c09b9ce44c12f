// Command clients calls a running scripts/dev with a client that oapi-codegen
// generates from docs/openapi.yaml; check.mts does the same in TypeScript. The
// test in scripts/dev generates both, compiles them and runs them.
//
//	go tool oapi-codegen -config oapi-codegen.yaml ../../docs/openapi.yaml
//	go run . URL APIKEY
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(ctx context.Context, url, key string) error {
	c, err := NewClientWithResponses(url, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
	if err != nil {
		return err
	}
	health, err := c.HealthzWithResponse(ctx)
	if err != nil || health.StatusCode() != http.StatusOK {
		return fmt.Errorf("healthz: %s, %w", health.Body, err)
	}
	user := "ann"
	sig, err := c.IssueUserSigWithResponse(ctx, IssueUserSigJSONRequestBody{UserID: &user})
	if err != nil || sig.JSON200 == nil || sig.JSON200.UserID != user || sig.JSON200.UserSig == "" {
		return fmt.Errorf("usersig: %s, %w", sig.Body, err)
	}
	var ask OpenTicketJSONRequestBody
	ask.UserId, ask.CaseInfo.Desc = &user, "the parcel is late"
	ticket, err := c.OpenTicketWithResponse(ctx, nil, ask)
	if err != nil || ticket.JSON200 == nil || ticket.JSON200.GroupId == "" || ticket.JSON200.GroupId != ticket.JSON200.GuideGroupID {
		return fmt.Errorf("createticket: %s, %w", ticket.Body, err)
	}
	return nil
}
