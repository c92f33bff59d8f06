package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// gate returns the reason of the verdict, with a minus where it denies.
func (w *workshop) gate(who directory.Person) string {
	w.t.Helper()
	v, err := w.LoginGate(w.t.Context(), "acme", who)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, v.Text)
	if !v.Allow {
		return "-" + string(v.Reason)
	}
	return string(v.Reason)
}

func email(s string) directory.Person { return directory.Person{Email: s} }

func (w *workshop) setUp(d directory.Directory) *workshop {
	w.t.Helper()
	other := *w
	other.key, other.secret = w.create(d)
	return &other
}

func TestB6LoginGate(t *testing.T) {
	t.Parallel()
	ada := email("ada@acme.example")
	for name, c := range map[string]struct {
		do   func(w *workshop, ada string)
		want string
	}{
		"active":      {func(*workshop, string) {}, "active"},
		"deactivated": {func(w *workshop, id string) { w.setActive(id, false) }, "-deactivated"},
		"reactivated": {func(w *workshop, id string) { w.setActive(id, false); w.setActive(id, true) }, "active"},
		"deleted":     {func(w *workshop, id string) { w.do(http.MethodDelete, "/Users/"+id, "") }, "-deleted"},
		"deleted and back": {func(w *workshop, id string) {
			w.do(http.MethodDelete, "/Users/"+id, "")
			w.person("ada")
		}, "active"},
		"paused": {func(w *workshop, _ string) { require.NoError(w.t, w.Pause(w.t.Context(), w.key)) }, "active"},
		"deactivating is switched off": {func(w *workshop, id string) {
			w.update(func(d *directory.Directory) { d.Policy.Off = scim.DeactivateUsers })
			w.setActive(id, false)
		}, "active"},
		"retired, released": {func(w *workshop, _ string) { w.retire(scim.ReleaseAccounts, true) }, "released"},
		"being released":    {func(w *workshop, _ string) { w.retire(scim.ReleaseAccounts, false) }, "released"},
		"retired for good":  {func(w *workshop, _ string) { w.retire(scim.DeactivateAll, true) }, "-retired"},
		"being retired":     {func(w *workshop, _ string) { w.retire(scim.DeactivateAll, false) }, "-retired"},
		"restored":          {func(w *workshop, _ string) { w.retire(scim.RestoreAccounts, false) }, "-retired"},
		"email of a leaver": {func(w *workshop, id string) {
			// Entra renames and deactivates in one request; the account keeps its email.
			w.do(http.MethodPatch, "/Users/"+id, patchBody(
				`{"op":"replace","path":"emails","value":[{"value":"left@acme.example","primary":true}]}`,
				`{"op":"replace","path":"userName","value":"left"}`, `{"op":"replace","path":"active","value":false}`))
			require.Equal(w.t, "-deactivated", w.gate(email("left@acme.example")), "nor under the new email")
		}, "-deactivated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			c.do(w, w.person("ada"))
			assert.Equal(t, c.want, w.gate(ada))
			assert.Equal(t, c.want, w.gate(email("ADA@ACME.example")), "A3: in any case")
			assert.Equal(t, c.want, w.gate(directory.Person{HostID: "host-ada@acme.example"}))
			assert.Equal(t, c.want, w.gate(directory.Person{HostID: "host-ada@acme.example", Email: "else@acme.example"}))
			assert.Equal(t, c.want, w.gate(directory.Person{HostID: "not-provisioned", Email: "ada@acme.example"}))
			assert.Equal(t, "unknown", w.gate(email("nobody@acme.example")), "A8: legacy, or just in time")
			v, err := w.LoginGate(t.Context(), "globex", ada)
			require.NoError(t, err)
			assert.Equal(t, directory.GateUnknown, v.Reason, "A9: access is membership of a tenant")
		})
	}
}

// retire retires the directory, and does its task or not.
func (w *workshop) retire(how scim.Retirement, done bool) {
	w.t.Helper()
	task, err := w.Retire(w.t.Context(), w.key, how)
	require.NoError(w.t, err)
	if done {
		_, err = w.Work(w.t.Context(), w.key.Tenant, task.ID)
		require.NoError(w.t, err)
	}
}

func TestB6LoginGateInEverySpelling(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	id := w.do(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u","emails":[{"value":"Ada@Bücher.example","primary":true}]}`)
	w.setActive(id, false)
	for _, spelling := range []string{"ada@bücher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.EXAMPLE"} {
		assert.Equal(t, "-deactivated", w.gate(email(spelling)), spelling)
	}
}

func TestA6LoginGateHoldsWhoIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Policy.Domain = scim.GuestDomain })
	w.person("ada")
	assert.Equal(t, "-held", w.gate(email("ada@acme.example")))
}

func TestB10LoginGateOfWhoWasNotCreated(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Policy.Off = scim.CreateUsers })
	id := w.person("ada")
	assert.Equal(t, "not_created", w.gate(email("ada@acme.example")))
	w.setActive(id, false)
	assert.Equal(t, "-deactivated", w.gate(email("ada@acme.example")))
}

// A9: who is in several directories may sign in while one of them says so; what
// a retired one has said does not bring anybody back.
func TestA9LoginGateOfSeveralDirectories(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	other := w.setUp(directory.Directory{ID: "other", Policy: scim.Policy{Domain: scim.AnyDomain}})
	here, there := w.person("ada"), other.person("ada")
	for _, c := range []struct {
		here, there bool
		want        string
	}{{true, false, "active"}, {false, true, "active"}, {false, false, "-deactivated"}, {true, true, "active"}} {
		w.setActive(here, c.here)
		other.setActive(there, c.there)
		assert.Equal(t, c.want, w.gate(email("ada@acme.example")), fmt.Sprint(c))
	}
	other.retire(scim.ReleaseAccounts, true)
	assert.Equal(t, "active", w.gate(email("ada@acme.example")))
	w.setActive(here, false)
	assert.Equal(t, "-deactivated", w.gate(email("ada@acme.example")), "a directory that is there counts before one that is not")
}

func TestB6LoginGateFailsClosed(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.hooks.onPeople = func() error { return errDown }
	v, err := w.LoginGate(t.Context(), "acme", email("ada@acme.example"))
	require.ErrorIs(t, err, errDown)
	assert.False(t, v.Allow)
	ok, reason, err := w.Can(t.Context(), "acme", directory.ActionInvite, email("ada@acme.example"))
	require.ErrorIs(t, err, errDown)
	assert.False(t, ok)
	assert.Empty(t, reason)
}

// LoginGate asks for no lock: it answers while a request is being written.
func TestB6LoginGateDoesNotWaitForWriters(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	require.NoError(t, w.store.Do(t.Context(), "globex", func(context.Context, scim.Tx) error {
		assert.Equal(t, "active", w.gate(email("ada@acme.example")))
		return nil
	}))
	before := w.store.writes.Load()
	assert.Equal(t, "active", w.gate(email("ada@acme.example")))
	assert.Equal(t, "unknown", w.gate(email("nobody@acme.example")))
	assert.Equal(t, before, w.store.writes.Load(), "nothing is written")
}
