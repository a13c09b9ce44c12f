// Package imclient reads the settings of the REST client: whose app it calls,
// as whom, and where.
package imclient

import (
	"fmt"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
)

// Read reads SDK_APP_ID, SECRET, IM_ADMIN, IM_DOMAIN and IM_SHARE, and returns
// what makes the client of them.
func Read(set *config.Reader) func() (*im.Client, error) {
	conf := im.Config{SDKAppID: access.AppID(set), Key: access.Secret(set), Admin: access.Admin(set)}
	conf.Domain = set.Text(config.Setting{
		Name: "IM_DOMAIN", Meaning: "REST host of the app's data centre",
		Format: "a host name, as adminapisgp.im.qcloud.com, or the full http:// URL of an emulator", Default: "console.tim.qq.com",
	})
	percent := set.Int(config.Setting{
		Name: "IM_SHARE", Meaning: "how much of the app's allowance of REST calls one instance may use, in percent: 100 divided by the instances at work",
		Format: "a number", Default: "25",
	}, 1, 100)
	conf.Share = float64(percent) / 100
	return func() (*im.Client, error) {
		c, err := im.NewClient(conf)
		if err != nil {
			return nil, fmt.Errorf("IM_DOMAIN, IM_ADMIN: %w", err)
		}
		return c, nil
	}
}
