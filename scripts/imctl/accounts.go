package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

const accountsHelp = `
Imports users into the app, so that they can join groups and get messages before
they log in. FILE is CSV: a UserID, and optionally a nick and the URL of a face;
a first line "userID,nick,faceUrl" is skipped. "-" reads standard input. The
whole file is checked first. A second import updates nick and face.

  imctl accounts import users.csv -domain adminapisgp.im.qcloud.com -app 1400000001

SECRET in the environment is the app's key. IM accepts 10,000 users a second at
most; -share limits the import to a share of that rate, to leave the rest to your
servers.`

// importSlice is how many accounts are imported between two lines of progress.
const importSlice = 5000

func accounts(ctx context.Context, t *tool, args []string) error {
	f := t.flags(accountsHelp)
	conf := restFlags(f)
	share := f.Int("share", 50, "share of the app's rate limit to use, in percent")
	rest, err := t.parse(f, args, 2, 2)
	if err != nil {
		return err
	}
	if rest[0] != "import" || *share < 1 || *share > 100 {
		fmt.Fprintf(t.errs, "usage: imctl %s; -share is 1 to 100\n", t.usage)
		return errUsage
	}
	list, err := readAccounts(rest[1])
	if err != nil {
		return err
	}
	c, err := conf.client(t.getenv, float64(*share)/100)
	if err != nil {
		return err
	}
	done, failed := 0, 0
	for chunk := range slices.Chunk(list, importSlice) {
		result, err := c.ImportAccounts(ctx, chunk)
		done, failed = done+result.Done, failed+len(result.Failed)
		for _, id := range result.Failed {
			fmt.Fprintln(t.out, "not imported:", id)
		}
		fmt.Fprintf(t.out, "%d of %d done\n", done, len(list))
		if err != nil {
			return fmt.Errorf("after %d of %d users: %w", done, len(list), err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("IM did not import %d users", failed)
	}
	return nil
}

// rest is where the REST API of an app is.
type rest struct {
	domain, admin string
	app           uint
}

func restFlags(f *flag.FlagSet) *rest {
	r := &rest{}
	f.StringVar(&r.domain, "domain", "http://127.0.0.1:8081", "REST `host` of the app's data centre; the default is the emulator of scripts/dev")
	f.StringVar(&r.admin, "admin", "", "admin account of the app; default IM_ADMIN, or administrator")
	f.UintVar(&r.app, "app", 0, "SDKAppID; default SDK_APP_ID, on this machine the development app")
	return r
}

func (r *rest) client(getenv func(string) string, share float64) (*im.Client, error) {
	app, err := appID(r.app, r.domain, getenv)
	if err != nil {
		return nil, err
	}
	key := getenv("SECRET")
	if key == "" && isLocal(r.domain) {
		key = wiring.DevelopmentSecret
	}
	if key == "" {
		return nil, errors.New("set SECRET in the environment to the app's key")
	}
	return im.NewClient(im.Config{
		Domain: r.domain, SDKAppID: app, Key: key, Share: share, Admin: cmp.Or(r.admin, getenv("IM_ADMIN"), "administrator"),
	})
}

// readAccounts reads a file of users and checks every line.
func readAccounts(file string) ([]im.Account, error) {
	in := os.Stdin
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return nil, err
		}
		defer in.Close()
	}
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.TrimLeadingSpace, r.ReuseRecord = -1, true, true
	var list []im.Account
	seen := make(map[string]int)
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		a := im.Account{UserID: fields[0]}
		if first && a.UserID == "userID" {
			continue
		}
		if len(fields) > 1 {
			a.Nick = fields[1]
		}
		if len(fields) > 2 {
			a.FaceURL = fields[2]
		}
		if err := usersig.CheckUserID(a.UserID); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, line, err)
		}
		if before, twice := seen[a.UserID]; twice {
			return nil, fmt.Errorf("%s:%d: %s is on line %d already", file, line, a.UserID, before)
		}
		seen[a.UserID] = line
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: there is no user in it", file)
	}
	return list, nil
}
