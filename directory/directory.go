package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	scim "github.com/muster-id/scim"
)

// A Directory is one connection of a tenant to its identity provider, as it is
// kept: what an administrator sees and changes. Requests are served with a
// [scim.Directory], which is made of it, of the tenant's verified domains and of
// the directory's mapping.
type Directory struct {
	Tenant string // the host's customer
	ID     string // unique in the tenant
	Name   string // for people

	// Provider is the identity provider, which is also the dialect that its
	// requests are read in; the zero value is [scim.Auto].
	Provider scim.Dialect

	Policy scim.Policy

	// Profile says which attribute of a user becomes which attribute of the
	// account's profile (rule E4): names of the application to paths, such as
	// "department" to
	// "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department".
	Profile map[string]string

	State State

	// Claims are the retired directories of the tenant whose people this one has
	// taken over ([Service.Rebind]), the latest last.
	Claims []string

	Created time.Time
	Changed time.Time // when any of this was changed last
	Retired time.Time // zero if it is not retired

	// Version grows with each change: [Service.Update] refuses a directory
	// that somebody else has changed since it was read.
	Version uint64

	// Warnings are what is allowed and probably not meant, a sentence each. They
	// are worked out when the directory is read.
	Warnings []string
}

// Key returns what every key of the directory's resources begins with.
func (d *Directory) Key() scim.Key { return scim.Key{Tenant: d.Tenant, Directory: d.ID} }

// A State says whether a directory provisions.
type State uint8

// The states.
const (
	Enabled State = iota // requests are served
	Paused               // every request is answered with 403; nothing else changes (rule B9)
	Retired              // for good: its people have become the application's, or lose access (rule B9)
)

var stateNames = [...]string{Enabled: "enabled", Paused: "paused", Retired: "retired"}

// String returns the state's name: enabled, paused or retired.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("directory: %v is no state", s)
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText reads the state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("directory: state %q is none of enabled, paused, retired", text)
}

const (
	mostName        = 200  // bytes of a name
	mostDirectories = 1000 // of a tenant, those included that are retired
	mostProfile     = 100  // attributes of a profile

	mostInvitations    = 64 << 10 // bytes of their names in an event
	invitationsLeftOut = "and others"
	retiredIsForGood   = "it is retired, which is for good; create another one and rebind it to this one's people"
	noDirectory        = "directory: tenant %q has no directory %q: %w"
)

// A directoryRecord is what is kept of a directory under its ID.
type directoryRecord struct {
	Name     string            `json:"name"`
	Provider scim.Dialect      `json:"provider"`
	Policy   policyDocument    `json:"policy"`
	Profile  map[string]string `json:"profile,omitempty"`
	State    State             `json:"state"`
	Claims   []string          `json:"claims,omitempty"`
	Created  time.Time         `json:"created"`
	Changed  time.Time         `json:"changed"`
	Retired  time.Time         `json:"retired,omitzero"`
}

// UnmarshalJSON reads a record; knobs that are not in it have their defaults.
func (r *directoryRecord) UnmarshalJSON(data []byte) error {
	type plain directoryRecord
	read := plain{Policy: defaultDocument()}
	err := json.Unmarshal(data, &read)
	*r = directoryRecord(read)
	return err
}

func decodeDirectory(r *Record) (*Directory, error) {
	d, err := decode[directoryRecord](r)
	if err != nil {
		return nil, err
	}
	v := &d.Value
	read := &Directory{
		Tenant: r.Tenant, ID: r.ID, Name: v.Name, Provider: v.Provider, Policy: v.Policy.policy(), Profile: v.Profile,
		State: v.State, Claims: v.Claims, Created: v.Created, Changed: v.Changed, Retired: v.Retired, Version: r.Version,
	}
	read.Warnings = policyWarnings(read.Provider, read.Policy)
	return read, nil
}

// putDirectory stores a directory that has changed, and gives it its version.
func (s *Service) putDirectory(ctx context.Context, d *Directory) (err error) {
	d.Changed = s.now()
	d.Version, err = s.put(ctx, RecordKey{d.Tenant, KindDirectory, d.ID}, d.Version, &directoryRecord{
		Name: d.Name, Provider: d.Provider, Policy: documentOf(d.Policy), Profile: d.Profile,
		State: d.State, Claims: d.Claims, Created: d.Created, Changed: d.Changed, Retired: d.Retired,
	})
	return err
}

// check lists what is wrong with a directory.
func (s *Service) check(d *Directory) error {
	var wrong problems
	wrong.name("tenant", d.Tenant, mostTenant)
	wrong.name("id", d.ID, mostName)
	wrong.text("name", d.Name, mostName)
	if _, err := scim.ParseDialect(d.Provider.String()); err != nil {
		wrong.add("provider", "%v is none of the dialects", d.Provider)
	}
	if len(d.Profile) > mostProfile {
		wrong.add("profile", "it has %d attributes; %d are the most", len(d.Profile), mostProfile)
	} else if _, err := s.types.ParseProfile(d.Profile); err != nil {
		wrong.add("profile", "%s", strings.TrimPrefix(err.Error(), "scim: "))
	}
	s.checkPolicy(&wrong, d.Policy)
	return wrong.err("directory")
}

// Create makes a new directory and returns it as it is stored. Tenant is
// required; ID is a new one by default, Name the provider's. State says whether
// it begins [Enabled], the default, or [Paused]. The error is an
// [*InvalidError] that lists all that is wrong with it, or wraps [ErrConflict]
// if the tenant has a directory with that ID.
func (s *Service) Create(ctx context.Context, d Directory) (*Directory, error) {
	if d.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		d.ID = id.String()
	}
	if d.Name == "" {
		d.Name = d.Provider.String()
	}
	if err := s.check(&d); err != nil {
		return nil, err
	}
	var wrong problems
	if d.State != Enabled && d.State != Paused {
		wrong.add("state", "a new directory is enabled or paused")
	}
	if len(d.Claims) > 0 {
		wrong.add("claims", "a new directory claims nobody yet; rebind it once it is there")
	}
	if err := wrong.err("directory"); err != nil {
		return nil, err
	}
	d.Profile, d.Version, d.Created, d.Retired = maps.Clone(d.Profile), 0, s.now(), time.Time{}
	d.Warnings = policyWarnings(d.Provider, d.Policy)
	created := d
	err := s.change(ctx, d.Tenant, func(ctx context.Context, tx scim.Tx) error {
		created = d // a transaction may be repeated
		there, err := s.store.Records(ctx, d.Tenant, KindDirectory, "", mostDirectories)
		if err != nil {
			return err
		}
		if len(there) >= mostDirectories {
			var wrong problems
			wrong.add("tenant", "it has %d directories, which are as many as can be", len(there))
			return wrong.err("directory")
		}
		if err := s.putDirectory(ctx, &created); err != nil {
			return err
		}
		if err := s.event(ctx, tx, d.Key(), scim.DirectoryCreated, d.Name, ""); err != nil {
			return err
		}
		if d.State == Enabled {
			if err := s.cameOn(ctx, tx, &created); err != nil {
				return err
			}
		}
		// A host that had its directories from elsewhere until now names one
		// that has people already, whom nobody has counted.
		people, err := tx.Accounts(ctx, d.Key(), "", 1)
		if err != nil || len(people) == 0 {
			return err
		}
		return s.recount(ctx, d.Tenant)
	})
	if err != nil {
		return nil, err
	}
	return &created, nil
}

// Recount counts the accounts of all directories of a tenant anew, on which seats
// and the protection of the last administrator rest (rules B7, E1). Create does
// so for a directory that has accounts already; otherwise it is a repair. It is
// due, too, after a change of domains where a tenant has several directories and
// the application returns no host id: people are told apart by their verified
// emails then (rule A9). Other writers of the tenant wait meanwhile.
func (s *Service) Recount(ctx context.Context, tenant string) error {
	return s.store.Do(ctx, tenant, func(ctx context.Context, _ scim.Tx) error { return s.recount(ctx, tenant) })
}

func (s *Service) recount(ctx context.Context, tenant string) error {
	records, err := s.store.Records(ctx, tenant, KindDirectory, "", mostDirectories)
	if err != nil {
		return err
	}
	keys := make([]scim.Key, len(records))
	for i, r := range records {
		keys[i] = scim.Key{Tenant: tenant, Directory: r.ID}
	}
	return s.engine.Recount(ctx, tenant, keys)
}

// cameOn raises the event of provisioning that comes on. Under [scim.StrictLock]
// its note is the name of that lock and, each in a line of its own, the open
// invitations, which are to be revoked (rule C8).
func (s *Service) cameOn(ctx context.Context, tx scim.Tx, d *Directory) error {
	note := ""
	if d.Policy.Lock == scim.StrictLock {
		note = d.Policy.Lock.String()
		if s.o.Invitations != nil {
			names, err := s.o.Invitations(ctx, d.Tenant)
			if err != nil {
				return fmt.Errorf("directory: Options.Invitations: %w", err)
			}
			note += invitationLines(names)
		}
	}
	return s.event(ctx, tx, d.Key(), scim.DirectoryEnabled, d.Name, note)
}

// invitationLines lists invitations for an event, which has an end.
func invitationLines(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if b.Len()+len(name) > mostInvitations {
			fmt.Fprintf(&b, "\nand %d more", len(names)-i)
			break
		}
		b.WriteString("\n" + printable(name))
	}
	return b.String()
}

// Get returns a directory, whatever its state. The error wraps
// [scim.ErrNotFound] if the tenant has none with that ID.
func (s *Service) Get(ctx context.Context, key scim.Key) (*Directory, error) {
	var wrong problems
	wrong.name("tenant", key.Tenant, mostTenant)
	wrong.name("id", key.Directory, mostName)
	if len(wrong) > 0 { // no directory is called so, and not every store can be asked
		return nil, fmt.Errorf(noDirectory, key.Tenant, key.Directory, scim.ErrNotFound)
	}
	r, err := s.store.Record(ctx, RecordKey{key.Tenant, KindDirectory, key.Directory})
	if errors.Is(err, scim.ErrNotFound) {
		return nil, fmt.Errorf(noDirectory, key.Tenant, key.Directory, err)
	}
	if err != nil {
		return nil, err
	}
	return decodeDirectory(r)
}

// live is Get of a directory that is not retired; the error is an
// [*InvalidError] if it is.
func (s *Service) live(ctx context.Context, key scim.Key) (*Directory, error) {
	d, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if d.State == Retired {
		var wrong problems
		wrong.add("state", retiredIsForGood)
		return nil, wrong.err("directory")
	}
	return d, nil
}

// List returns the directories of a tenant in order of their IDs, those
// included that are retired; none for a tenant that has none.
func (s *Service) List(ctx context.Context, tenant string) ([]*Directory, error) {
	var list []*Directory
	var wrong problems
	if wrong.name("tenant", tenant, mostTenant); len(wrong) > 0 {
		return nil, nil
	}
	for r, err := range s.records(ctx, tenant, KindDirectory) {
		if err != nil {
			return nil, err
		}
		d, err := decodeDirectory(r)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// Update stores the Name, Provider, Policy and Profile of a directory, and
// returns it as it is then. The error wraps [ErrConflict] if it has another
// Version than the one given: somebody has changed it since it was read. It is
// an [*InvalidError] that lists all that is wrong with it, also where other
// fields are not as they were read.
//
// Where the change is one to what people have, such as a switch that comes on
// (rule B10), a task works out everybody anew ([Service.Tasks]); after a change
// of the Profile it tells the application of everybody again (rule B12).
func (s *Service) Update(ctx context.Context, d *Directory) (*Directory, error) {
	if d == nil {
		return nil, errors.New("directory: Update needs a directory")
	}
	if err := s.check(d); err != nil {
		return nil, err
	}
	var next *Directory
	err := s.change(ctx, d.Tenant, func(ctx context.Context, tx scim.Tx) error {
		was, err := s.live(ctx, d.Key())
		if err != nil {
			return err
		}
		if was.Version != d.Version {
			return fmt.Errorf("%w: directory %q of tenant %q", ErrConflict, d.ID, d.Tenant)
		}
		var wrong problems
		if was.State != d.State {
			wrong.add("state", "it is changed by Enable, Pause and Retire")
		}
		if !slices.Equal(was.Claims, d.Claims) {
			wrong.add("claims", "they are changed by Rebind")
		}
		if err := wrong.err("directory"); err != nil {
			return err
		}
		copied := *was
		next = &copied
		next.Name, next.Provider, next.Policy, next.Profile = d.Name, d.Provider, d.Policy, maps.Clone(d.Profile)
		if next.Name == was.Name && next.Provider == was.Provider && next.Policy == was.Policy && maps.Equal(next.Profile, was.Profile) {
			return errUnchanged
		}
		next.Warnings = policyWarnings(next.Provider, next.Policy)
		if err := s.putDirectory(ctx, next); err != nil {
			return err
		}
		if next.State == Enabled && next.Policy.Lock == scim.StrictLock && was.Policy.Lock != scim.StrictLock {
			if err := s.cameOn(ctx, tx, next); err != nil {
				return err
			}
		}
		if !concernsAccounts(was, next) {
			return nil
		}
		kind := TaskReconcile
		if !maps.Equal(was.Profile, next.Profile) {
			kind = TaskResync // which profile the application was told is not known
		}
		_, err = s.enqueue(ctx, tx, Task{Directory: next.Key(), Kind: kind})
		return err
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

// concernsAccounts reports whether a change of a directory can change what
// people have who are there already.
func concernsAccounts(was, next *Directory) bool {
	a, b := was.Policy, next.Policy
	for _, p := range [...]*scim.Policy{&a, &b} { // these hold for requests to come
		p.UnknownMembers, p.DuplicateGroupNames, p.Lock, p.MassChange, p.RejoinByEmail = 0, false, 0, 0, false
	}
	return a != b || !maps.Equal(was.Profile, next.Profile)
}

// Enable lets a paused directory provision again. The provider is told nothing;
// it repeats what was refused. One that is enabled stays so. The error wraps
// [scim.ErrNotFound] if there is none; it is an [*InvalidError] if it is
// retired, or if its policy is one that can no longer be saved.
func (s *Service) Enable(ctx context.Context, key scim.Key) error {
	return s.turn(ctx, key, Enabled, s.check, s.cameOn)
}

// Pause answers every request of the directory with 403 from now on (rule B9).
// Nobody's access changes. One that is paused stays so. The errors are those of
// [Service.Enable].
func (s *Service) Pause(ctx context.Context, key scim.Key) error {
	allowed := func(*Directory) error { return nil }
	return s.turn(ctx, key, Paused, allowed, func(ctx context.Context, tx scim.Tx, d *Directory) error {
		return s.event(ctx, tx, key, scim.DirectoryDisabled, d.Name, "")
	})
}

// turn changes the state of a directory that is not retired, if that is allowed.
func (s *Service) turn(ctx context.Context, key scim.Key, to State, allowed func(*Directory) error, then func(context.Context, scim.Tx, *Directory) error) error {
	return s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		d, err := s.live(ctx, key)
		switch {
		case err != nil:
			return err
		case d.State == to:
			return errUnchanged
		}
		if err := allowed(d); err != nil {
			return err
		}
		d.State = to
		if err := s.putDirectory(ctx, d); err != nil {
			return err
		}
		return then(ctx, tx, d)
	})
}

// Retire ends a directory for good (rule B9): its tokens are revoked, every
// request is refused, and the task that is returned gives its people up, in the
// background ([Service.Run]) or by [Service.Work]. What becomes of them is how.
// The errors are those of [Service.Pause].
func (s *Service) Retire(ctx context.Context, key scim.Key, how scim.Retirement) (*Task, error) {
	var wrong problems
	checkName(&wrong, "how", how)
	if err := wrong.err("directory"); err != nil {
		return nil, err
	}
	var task *Task
	err := s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		d, err := s.live(ctx, key)
		if err != nil {
			return err
		}
		d.State, d.Retired = Retired, s.now()
		if err := s.putDirectory(ctx, d); err != nil {
			return err
		}
		tokens, err := s.tokensOf(ctx, key)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if !t.Value.active(d.Retired) {
				continue
			}
			if err := s.revoke(ctx, tx, key, t); err != nil {
				return err
			}
		}
		if err := s.event(ctx, tx, key, scim.DirectoryDeleted, d.Name, how.String()); err != nil {
			return err
		}
		task, err = s.enqueue(ctx, tx, Task{Directory: key, Kind: TaskRetire, How: how})
		return err
	})
	if err != nil {
		return nil, err
	}
	return task, nil
}

// Rebind lets a directory take over the people of a retired one of the same
// tenant: who comes with the same externalId or verified email gets the same
// account of the application (rule B9). It holds for people who are provisioned
// from now on, so it is called before the provider begins. A directory that has
// them already keeps them. The error wraps [scim.ErrNotFound] if there is no
// such directory; it is an [*InvalidError] if from is not retired, or if another
// directory has taken over its people.
func (s *Service) Rebind(ctx context.Context, key scim.Key, from string) error {
	return s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		d, err := s.live(ctx, key)
		if err != nil {
			return err
		}
		if slices.Contains(d.Claims, from) {
			return errUnchanged
		}
		old, err := s.Get(ctx, scim.Key{Tenant: key.Tenant, Directory: from})
		if err != nil {
			return err
		}
		var wrong problems
		if old.State != Retired {
			wrong.add("claims", "directory %q is not retired: its people are still its own", from)
		}
		others, err := s.List(ctx, key.Tenant)
		if err != nil {
			return err
		}
		for _, o := range others {
			if o.State != Retired && slices.Contains(o.Claims, from) {
				wrong.add("claims", "directory %q has taken over the people of %q already", o.ID, from)
			}
		}
		if err := wrong.err("directory"); err != nil {
			return err
		}
		d.Claims = append(d.Claims, from)
		return s.putDirectory(ctx, d)
	})
}
