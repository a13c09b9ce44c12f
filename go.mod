module github.com/backchannel-im/backchannel

go 1.26

// What functions link; docs/decisions/0045-dependencies.md says why each.
require (
	github.com/aws/aws-lambda-go v1.55.1
	github.com/aws/aws-sdk-go-v2 v1.47.8
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.73.2
	github.com/aws/aws-sdk-go-v2/service/sqs v1.52.11
	github.com/aws/smithy-go v1.28.8
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/redis/go-redis/v9 v9.17.2
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common v1.3.210
	github.com/tencentyun/scf-go-lib v0.0.0-20211123032342-f972dcd16ff6
	github.com/tencentyun/tls-sig-api-v2-golang v1.2.0
	go.etcd.io/bbolt v1.5.0
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.11 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.11 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.24 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery v1.13.11 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
	golang.org/x/sys v0.45.0 // indirect
)

// What tests, scripts, the rule compiler and the emulator link, and no function.
require (
	github.com/coder/websocket v1.8.15
	github.com/go-ego/gse v1.0.2
	github.com/osteele/liquid v1.6.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf v1.3.101
	go.yaml.in/yaml/v3 v3.0.4
	golang.org/x/text v0.14.0
)

require (
	github.com/osteele/tuesday v1.0.3 // indirect
	github.com/vcaesar/cedar v0.30.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)
