package main

import (
	"context"
	"flag"
	"sync/atomic"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/roles"
)

var guarded = flag.Bool("guarded", false, "call the Provisioner as for hosts that may hang, in a goroutine of its own")

// newOurs returns the library as a host would mount it: memory store, roles by
// group, events and request log on, and a Provisioner that sleeps for pause
// nanoseconds.
func newOurs(pause *atomic.Int64) (subject, error) {
	return oursOver(memstore.New(scim.CoreTypes(), nil), pause)
}

// The directory that the bearer token is for.
const (
	benchTenant    = "acme"
	benchDirectory = "bench"
)

// oursOver is newOurs over any store.
func oursOver(store scim.Store, pause *atomic.Int64) (subject, error) {
	mapping := roles.Mapping{Default: "viewer", Rules: []roles.Rule{{GroupName: hundredName, Role: "editor"}}}
	for t := range teamCount {
		role := "member"
		if t%10 == 0 {
			role = "admin"
		}
		mapping.Rules = append(mapping.Rules, roles.Rule{GroupName: teamName(t), Role: role})
	}
	mapping.Rules = append(mapping.Rules, roles.Rule{GroupName: everyoneName, Role: "viewer"})
	mapper, err := roles.New(mapping)
	if err != nil {
		return subject{}, err
	}
	auth, err := scim.StaticTokens(scim.Token{Secret: bearerToken, Label: "bench", Directory: &scim.Directory{
		Tenant: benchTenant, ID: benchDirectory, Domains: []string{emailDomain},
	}})
	if err != nil {
		return subject{}, err
	}
	host := scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) {
		if d := pause.Load(); d > 0 {
			time.Sleep(time.Duration(d))
		}
		return a.ID, nil
	})
	handler, err := scim.NewHandler(store, mapper, auth, &scim.Config{
		Provisioner: host, BaseURL: baseURL, ProvisionTimeout: time.Minute, DirectHooks: !*guarded,
	})
	if err != nil {
		return subject{}, err
	}
	return subject{handler: handler}, nil
}
