package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// openCommunities makes the communities of the page, as a server of the app does:
// the bundle makes their channels. Everybody is a member, and bob moderates. The
// bundle remembers an earlier run, the emulator does not: a community without its
// group is made anew.
func (s scene) openCommunities(ctx context.Context, c *im.Client, base string) error {
	for _, one := range s.Community.Servers {
		at := base + "/communities/" + url.PathEscape(one.GroupID)
		infos, err := c.GroupInfos(ctx, []string{one.GroupID})
		if err != nil {
			return fmt.Errorf("looking for %s: %w", one.GroupID, err)
		}
		if len(infos) == 1 && infos[0].Code == 0 {
			continue
		}
		known, err := knows(ctx, at)
		if err != nil {
			return err
		}
		if known {
			if err := asServer(ctx, http.MethodDelete, at, "", struct{}{}); err != nil {
				return err
			}
		}
		body := map[string]any{"communityId": one.GroupID, "name": one.Name, "owner": s.Users[0]}
		if err := asServer(ctx, http.MethodPost, base+"/communities", fmt.Sprint("dev/", time.Now().UnixNano()), body); err != nil {
			return err
		}
		if _, err := c.AddGroupMembers(ctx, one.GroupID, s.Users[1:], true); err != nil {
			return fmt.Errorf("letting users into %s: %w", one.GroupID, err)
		}
		if err := asServer(ctx, http.MethodPut, at+"/members/"+s.Users[1]+"/role", "", map[string]any{"role": "moderator"}); err != nil {
			return err
		}
	}
	return nil
}

// knows reports whether the bundle has a community.
func knows(ctx context.Context, at string) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+wiring.DevelopmentKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("GET %s: %d", at, res.StatusCode)
}
