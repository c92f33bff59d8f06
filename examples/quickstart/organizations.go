package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

// directoryID names the one directory that an organization has here. One that
// changes its identity provider would have a second.
const directoryID = "default"

func (org *organization) key() scim.Key {
	return scim.Key{Tenant: org.name, Directory: directoryID}
}

// setUpAll sets the organizations of the flags up in the store, or finds them
// there, and gives each of them its token. It returns what people are to know.
//
// In an application an administrator of the customer does this on a page of the
// settings, while the program runs.
func setUpAll(ctx context.Context, o *options, store directory.Storage, service *directory.Service, tokens map[string]string) (notes []string, err error) {
	// A domain can have gone over from one organization to another.
	for _, org := range o.orgs {
		if err := org.dropDomains(ctx, service); err != nil {
			return nil, fmt.Errorf("-org %s: %w", org.name, err)
		}
	}
	for i := range o.orgs {
		org := &o.orgs[i]
		var said []string
		// One transaction, so that there is no directory without a mapping or a
		// token if this ends halfway.
		err := store.Do(ctx, org.name, func(ctx context.Context, _ scim.Tx) (err error) {
			said, err = org.setUp(ctx, service, o, tokens[org.name])
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("-org %s: %w", org.name, err)
		}
		notes = append(notes, said...)
		if tokens[org.name] != org.token {
			tokens[org.name] = org.token
			if err := keepTokens(o.tokenFile, tokens); err != nil {
				return nil, err
			}
		}
	}
	others, err := othersIn(ctx, store, o.orgs)
	if err == nil && len(others) > 0 {
		notes = append(notes, fmt.Sprintf("From starts before, %s: served as before, though no -org names it.", strings.Join(others, ", ")))
	}
	return notes, err
}

// setUp makes the organization's directory, domains and mapping in the store what
// the flags say, and gives the organization its token: the one that the provider
// has kept, if it is accepted, and else a new one.
func (org *organization) setUp(ctx context.Context, service *directory.Service, o *options, kept string) (notes []string, err error) {
	d, err := service.Get(ctx, org.key())
	switch {
	case errors.Is(err, scim.ErrNotFound):
		d, err = service.Create(ctx, directory.Directory{
			Tenant: org.name, ID: directoryID, Name: org.name + "'s identity provider", Provider: o.dialect, Policy: o.policy,
		})
		if err == nil {
			notes = append(notes, org.name+" is new: its directory was made, and its token issued. The store has the digest of the token alone.")
			_, err = service.SetMapping(ctx, org.key(), roles.Mapping{
				Rules: []roles.Rule{ // the highest first: who is in both groups is an admin
					{GroupName: "Admins", Role: "admin"},
					{GroupName: "Engineers", Role: "member"},
				},
				Default: "viewer",
			}, 0) // in place of none
		}
	case err == nil:
		d.Provider, d.Policy = o.dialect, o.policy
		d, err = service.Update(ctx, d) // nothing, if they are what they were
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range d.Warnings {
		notes = append(notes, org.name+": "+warning+".")
	}
	for _, name := range org.domains {
		// The operator's word. A customer's is not enough: for them there are
		// AddDomain, which says what to set in DNS, and VerifyDomain.
		if _, err := service.AssertDomain(ctx, org.name, name); err != nil {
			return nil, err
		}
	}
	note, err := org.giveToken(ctx, service, kept)
	if note != "" {
		notes = append(notes, note)
	}
	return notes, err
}

// dropDomains removes the domains that the organization had before and does not
// have any more. Nobody loses access.
func (org *organization) dropDomains(ctx context.Context, service *directory.Service) error {
	there, err := service.Domains(ctx, org.name)
	if err != nil {
		return err
	}
	for _, d := range there {
		named := func(s string) bool { return strings.EqualFold(s, d.Name) || strings.EqualFold(s, d.Text) }
		if slices.ContainsFunc(org.domains, named) {
			continue
		}
		if err := service.RemoveDomain(ctx, org.name, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// giveToken gives the organization the token that the provider has kept, if the
// directory accepts it. If not a new one is issued, beside the one that the
// provider may still use: two at a time are accepted.
func (org *organization) giveToken(ctx context.Context, service *directory.Service, kept string) (note string, err error) {
	tokens, err := service.Tokens(ctx, org.key()) // the newest first
	if err != nil {
		return "", err
	}
	now := time.Now()
	tokens = slices.DeleteFunc(tokens, func(t *directory.Token) bool { return !t.Active(now) })
	for _, t := range tokens {
		if kept != "" && strings.HasSuffix(kept, t.Hint) {
			org.token = kept
			return "", nil
		}
	}
	if len(tokens) == 0 {
		if kept != "" {
			note = org.name + " has a new token: the store does not accept the one that was kept, because it is expired or of another store."
		}
		org.token, _, err = service.IssueToken(ctx, org.key(), directory.TokenOptions{Label: "quickstart"})
		return note, err
	}
	for _, t := range tokens[1:] {
		if err := service.RevokeToken(ctx, org.key(), t.ID); err != nil {
			return "", err
		}
	}
	org.token, _, err = service.RotateToken(ctx, org.key(), tokens[0].ID, 0)
	return fmt.Sprintf("%s has a new token: the one that was issued before, which ends in %s, is not among those that were kept. It is accepted for 7 days more, for whoever still uses it.",
		org.name, tokens[0].Hint), err
}

// othersIn returns the organizations in the store that the flags do not name.
func othersIn(ctx context.Context, store directory.Storage, orgs []organization) (names []string, err error) {
	const most = 100 // who has more knows
	tenants, err := store.Tenants(ctx, "", most)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(tenants, func(tenant string) bool {
		return slices.ContainsFunc(orgs, func(org organization) bool { return org.name == tenant })
	}), nil
}
