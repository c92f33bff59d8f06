package directory_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

func TestPoliciesThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	const all = scim.CreateUsers | scim.UpdateAttributes | scim.DeactivateUsers | scim.SyncGroups
	k := newConsole(t, nil)
	for _, c := range []struct {
		why    string
		policy scim.Policy
		fields []string
	}{
		{"the recommended one", scim.Policy{}, nil},
		{"every knob at once", scim.Policy{
			Email: scim.KeepEmail, EmailSource: scim.UserNameThenEmails, Domain: scim.GuestDomain, UnknownMembers: scim.RejectUnknownMembers,
			DuplicateGroupNames: true, Off: scim.SyncGroups, Lock: scim.LastWriteWins, Seats: scim.FreeRoleSeats, FreeRole: "viewer",
			MassChange: scim.HoldMassChange, RejoinByEmail: true,
		}, nil},
		{"E1: which role", scim.Policy{Seats: scim.FreeRoleSeats}, []string{"policy.freeRole"}},
		{"E1: for whom", scim.Policy{FreeRole: "viewer"}, []string{"policy.freeRole"}},
		{"E1: it needs a seat too", scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "editor"}, []string{"policy.freeRole"}},
		{"B7: given by hand only", scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "owner"}, []string{"policy.freeRole"}},
		{"B7: administrators for want of a seat", scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "admin"}, []string{"policy.freeRole", "policy.freeRole"}},
		{"C9: no such role", scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "veiwer"}, []string{"policy.freeRole"}},
		{"A6: do domains matter", scim.Policy{Domain: scim.AnyDomain, Email: scim.EmailWithinDomains}, []string{"policy.email"}},
		{"C8: guests nobody may invite", scim.Policy{Lock: scim.StrictLock, Domain: scim.GuestDomain}, []string{"policy.domain"}},
		{"C8: leavers nobody may end", scim.Policy{Lock: scim.StrictLock, Off: scim.DeactivateUsers}, []string{"policy.provision.deactivateUsers"}},
		{"B8: nothing to hold", scim.Policy{MassChange: scim.HoldMassChange, Off: scim.DeactivateUsers}, []string{"policy.massChange"}},
		{"B10: nothing is on", scim.Policy{Off: all}, []string{"policy.provision"}},
		{"no such switch", scim.Policy{Off: 1 << 6}, []string{"policy.provision"}},
		{"no such values", scim.Policy{Email: 9, EmailSource: 9, Domain: 9, UnknownMembers: 9, Lock: 9, Seats: 9, MassChange: 9}, []string{
			"policy.email", "policy.emailSource", "policy.domain", "policy.unknownMembers", "policy.lock", "policy.seats", "policy.massChange",
		}},
		{"all at once", scim.Policy{Lock: scim.StrictLock, Domain: scim.GuestDomain, Off: all, FreeRole: "viewer"}, []string{
			"policy.provision", "policy.domain", "policy.provision.deactivateUsers", "policy.freeRole",
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			_, checked := k.CheckPolicy(scim.Auto, c.policy)
			_, saved := k.Create(t.Context(), directory.Directory{Tenant: "acme", Policy: c.policy})
			if c.fields == nil {
				require.NoError(t, checked)
				require.NoError(t, saved)
				return
			}
			require.Equal(t, c.fields, problems(t, checked))
			require.Equal(t, c.fields, problems(t, saved))
		})
	}
}

func TestE1FreeRoleIsForApplicationsThatCountSeats(t *testing.T) {
	t.Parallel()
	s, err := directory.New(newStorage(scim.CoreTypes(), nil), nil, nil)
	require.NoError(t, err)
	_, err = s.CheckPolicy(scim.Auto, scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "viewer"})
	require.Equal(t, []string{"policy.seats"}, problems(t, err))
}

func TestPoliciesThatSurpriseAreWarnedOf(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	for _, c := range []struct {
		provider scim.Dialect
		policy   scim.Policy
		warning  string
	}{
		{scim.Okta, scim.Policy{UnknownMembers: scim.RejectUnknownMembers}, "Okta"},
		{scim.Entra, scim.Policy{UnknownMembers: scim.RejectUnknownMembers}, ""},
		{scim.Auto, scim.Policy{RejoinByEmail: true, Domain: scim.AnyDomain}, "verified"},
		{scim.Auto, scim.Policy{RejoinByEmail: true, Email: scim.AllowEmailChange}, "who left"},
		{scim.Auto, scim.Policy{Off: scim.DeactivateUsers}, "people who leave"},
		{scim.Auto, scim.Policy{Lock: scim.StrictLock, Off: scim.SyncGroups}, "by hand"},
		{scim.Auto, scim.Policy{Domain: scim.AnyDomain, Email: scim.AllowEmailChange}, "any email"},
		{scim.Auto, scim.Policy{Lock: scim.LastWriteWins}, "undoes"},
		{scim.Auto, scim.Policy{}, ""},
	} {
		made, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Provider: c.provider, Policy: c.policy})
		require.NoError(t, err)
		read, err := k.Get(t.Context(), made.Key())
		require.NoError(t, err)
		require.Equal(t, made.Warnings, read.Warnings)
		if c.warning == "" {
			require.Empty(t, read.Warnings)
			continue
		}
		require.Len(t, read.Warnings, 1)
		require.Contains(t, read.Warnings[0], c.warning)
	}
}

// defaults is the document in the comment of PolicyDocument.
const defaults = `{
	"email": "reject", "emailSource": "emails", "domain": "reject", "unknownMembers": "drop", "duplicateGroupNames": false,
	"provision": {"createUsers": true, "updateAttributes": true, "deactivateUsers": true, "syncGroups": true},
	"lock": "managed", "seats": "refuse", "freeRole": "", "massChange": "alert", "rejoinByEmail": false
}`

func TestAPolicyIsOneDocumentWithEveryKnob(t *testing.T) {
	t.Parallel()
	written, err := json.Marshal(directory.PolicyDocument{})
	require.NoError(t, err)
	require.JSONEq(t, defaults, string(written))

	full := scim.Policy{
		Email: scim.AllowEmailChange, EmailSource: scim.UserNameThenEmails, Domain: scim.GuestDomain, UnknownMembers: scim.RejectUnknownMembers,
		DuplicateGroupNames: true, Off: scim.CreateUsers | scim.SyncGroups, Lock: scim.StrictLock, Seats: scim.FreeRoleSeats, FreeRole: "viewer",
		MassChange: scim.HoldMassChange, RejoinByEmail: true,
	}
	written, err = json.Marshal(directory.PolicyDocument(full))
	require.NoError(t, err)
	var read directory.PolicyDocument
	require.NoError(t, json.Unmarshal(written, &read))
	require.Equal(t, full, scim.Policy(read), "every knob is in the document")

	require.NoError(t, json.Unmarshal([]byte(`{"domain":"any","provision":{"syncGroups":false}}`), &read))
	require.Equal(t, scim.Policy{Domain: scim.AnyDomain, Off: scim.SyncGroups}, scim.Policy(read), "what is not there has its default")
	for _, wrong := range []string{`{"emial":"keep"}`, `{"email":"kept"}`, `{"provision":{"users":false}}`, `{"provision":"all"}`, `[]`, `"reject"`} {
		require.Error(t, json.Unmarshal([]byte(wrong), &read), wrong)
	}
	require.Error(t, read.UnmarshalJSON([]byte(`{} {}`)))
}
