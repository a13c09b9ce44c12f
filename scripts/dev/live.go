package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/wiring"
)

// The gifts of the live room and the coins that its viewers begin with.
var gifts = []map[string]any{
	{"giftId": "rose", "name": "Rose", "units": "stems", "price": 1, "type": 1},
	{"giftId": "star", "name": "Star", "price": 5, "type": 2},
	{"giftId": "rocket", "name": "Rocket", "price": 20, "type": 3},
}

const coins = 100

// openRoom makes the live room, its gifts and its viewers' coins, as a server of
// the app does. What an earlier run made stays as it is.
func (s scene) openRoom(ctx context.Context, base string) error {
	server := func(method, path, key string, body any) error { return asServer(ctx, method, base+path, key, body) }
	room := map[string]any{"roomId": lobby, "name": "Live room", "owner": s.Users[0], "notice": "Welcome! Be kind to each other.", "public": true}
	if err := server(http.MethodPost, "/rooms", "dev/room", room); err != nil {
		return err
	}
	for _, g := range gifts {
		if err := server(http.MethodPut, fmt.Sprint("/gifts/", g["giftId"]), "", g); err != nil {
			return err
		}
	}
	for _, u := range s.Users {
		if err := server(http.MethodPost, "/wallets/"+u+"/topup", "dev/coins", map[string]any{"amount": coins}); err != nil {
			return err
		}
	}
	return nil
}

// asServer sends a request of a server of the app, under a key if one is given. What
// is there already is left as it is.
func asServer(ctx context.Context, method, address, key string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+wiring.DevelopmentKey)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 300 || res.StatusCode == http.StatusConflict { // it is there
		return nil
	}
	answer, _ := io.ReadAll(res.Body) // for the error's text
	return fmt.Errorf("%s %s: %d %s", method, address, res.StatusCode, answer)
}
