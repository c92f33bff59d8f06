package storetest

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// caughtBy says which case catches each bug of a flawed store.
var caughtBy = map[string]string{
	"ids without case":         "get/not-found",
	"ids trimmed":              "get/not-found",
	"keys without type":        "get/not-found",
	"keys without tenant":      "isolation/resources",
	"keys without directory":   "isolation/directories",
	"keys without case":        "isolation/resources",
	"keys joined by a slash":   "isolation/keys",
	"lists all directories":    "isolation/directories",
	"leaves groups everywhere": "isolation/members",

	"numbers as floats":                    "get/numbers",
	"texts trimmed":                        "get/kept-whole",
	"texts of three bytes a character":     "get/every-character",
	"texts cut":                            "get/large",
	"versions from zero":                   "create/meta",
	"create returns what it was given":     "create/meta",
	"create replaces":                      "create/id-taken",
	"userName by case":                     "create/user-name",
	"userName by lower case":               "create/user-name",
	"externalId without case":              "create/external-id",
	"externalId not unique":                "create/external-id",
	"schemas' uniqueness ignored":          "create/declared-unique",
	"uniqueness of first values":           "create/unique-as-eq",
	"uniqueness names the wrong attribute": "replace/unique",
	"uniqueness of all directories":        "isolation/directories",
	"refused creates are kept":             "create/refused",
	"deleted ones stay in the index":       "delete/gone",
	"uniqueness without lock":              "concurrent/unique",
	"replace is a creation":                "replace/meta",
	"version of the resource given":        "replace/meta",
	"no change, no version":                "replace/meta",
	"lastModified stays":                   "replace/last-modified",
	"versions not checked":                 "replace/stale-version",
	"only older versions refused":          "replace/stale-version",
	"zero is a version":                    "replace/stale-version",
	"replace creates":                      "replace/not-found",
	"replace is not unique":                "replace/unique",
	"replace collides with itself":         "replace/itself",
	"versions without lock":                "concurrent/versions",
	"delete takes any version":             "delete/stale-version",
	"delete of nothing succeeds":           "delete/not-found",
	"deletes are marks":                    "delete/gone",
	"cancelled reads find nothing":         "cancelled/all-or-nothing",
	"cancelled writes are done":            "cancelled/all-or-nothing",
	"total counts the page":                "list/pages",
	"pages counted from zero":              "list/pages",
	"order changes":                        "list/pages",
	"a count of zero asks for all":         "list/count-zero",
	"pages shared":                         "list/callers-slice",
	"ne as not eq":                         "list/filter-several-values",
	"value paths as one value each":        "list/filter-value-paths",
	"co has wildcards":                     "list/filter-literals",
	"quotes doubled":                       "list/filter-literals",
	"empty is null":                        "list/filter-strings",
	"case-exact texts folded":              "list/filter-strings",
	"folding of ASCII alone":               "list/every-letter",
	"integers as floats":                   "list/filter-integers",
	"times to the second":                  "list/filter-meta",
	"descending is ascending backwards":    "list/sort-ties",
	"no value first":                       "list/sort",
	"numbers sorted as text":               "list/sort",
	"sorted by the first value":            "list/sort",
	"position is a number of rows":         "list/positions-and-changes",
	"position repeats its row":             "list/positions",
	"position without id":                  "list/positions",
	"position of a row that is gone":       "list/positions-and-changes",
	"no members of no group":               "members/not-found",
	"members in no order":                  "members/values",
	"members hold the lock":                "members/slow-consumer",
	"members in the document":              "members/apart",
	"replace drops members":                "members/replace-keeps",
	"groups not looked at":                 "members/filters",
	"member changes without version":       "change/add-remove",
	"clear adds who stays":                 "change/clear",
	"clear removes who stays":              "change/clear",
	"an empty remove removes all":          "change/nothing",
	"members there are added":              "change/nothing",
	"every member change is one":           "change/nothing",
	"unknown members are kept":             "change/unknown",
	"unknown members are not told":         "change/unknown",
	"member changes take any version":      "change/versions",
	"groups of groups":                     "change/groups-in-groups",
	"groups in order of names":             "groups-of/order",
	"groups out of turn":                   "groups-of/order",
	"deleted ones stay in groups":          "delete/leaves-groups",
	"leaves groups without a trace":        "delete/leaves-groups",
	"members of deleted groups stay":       "delete/group",
}

// plainCaughtBy says so of those of a store that is no MemberStore.
var plainCaughtBy = map[string]string{
	"members sorted":          "list/filter-document-members",
	"case-exact texts folded": "list/filter-strings",
	"create replaces":         "create/id-taken",
}

// ledgerCaughtBy says so of the bugs of a careless store.
var ledgerCaughtBy = map[string]string{
	"errors are committed":                 "do/rollback",
	"errors are replaced":                  "do/rollback",
	"the log is apart":                     "do/rollback",
	"rollback keeps members":               "do/rollback-of-changes",
	"rollback keeps accounts":              "accounts/kept",
	"panics are committed":                 "do/panic",
	"panics are swallowed":                 "do/panic",
	"cancelled transactions are committed": "do/cancelled",
	"refusals spoil the transaction":       "do/after-refusal",
	"nested transactions are their own":    "do/joins",
	"other tenants are let in":             "do/another-tenant",
	"transactions take any tenant":         "do/another-tenant",
	"ended transactions write on":          "do/ended",
	"readers wait":                         "do/unseen",
	"readers see what is not committed":    "do/unseen",
	"transactions list what is committed":  "do/unseen",
	"reads before its turn":                "do/serial",
	"tenants wait for each other":          "do/tenants-in-parallel",
	"numbers are lost by a rollback":       "events/sequence",
	"numbers of each directory":            "events/sequence",
	"events show what is now":              "events/kept",
	"events from after on":                 "events/after",
	"events without limit":                 "events/after",
	"events the latest first":              "events/after",
	"requests oldest first":                "requests/newest-first",
	"requests without limit":               "requests/newest-first",
	"log entries are pointers":             "requests/kept",
	"log entries lose what was ignored":    "requests/kept",
	"cancelled contexts are not logged":    "requests/cancelled",
	"owed calls of any time":               "deliveries/outstanding",
	"unknown deliveries are an error":      "deliveries/outstanding",
	"delivered by user":                    "deliveries/outstanding",
	"deliveries in no order":               "deliveries/outstanding",
	"owed calls are forgotten":             "reopen/ledger",
	"accounts go with their user":          "accounts/deleted",
	"accounts are merged":                  "accounts/kept",
	"emails are kept folded":               "accounts/kept",
	"grants without group":                 "accounts/kept",
	"approved emails are lost":             "accounts/kept",
	"states out of turn":                   "accounts/states",
	"groups of states are shared":          "accounts/states",
	"states know no selectors":             "bindings/kept",
	"states of any directory":              "accounts/isolation",
	"departed without case":                "departed/external-id",
	"departed first of all":                "departed/external-id",
	"departed who are here":                "departed/external-id",
	"departed by email as written":         "departed/email",
	"departed by either":                   "departed/email",
	"keepers without refusal":              "keeper/email",
	"keepers who are gone":                 "keeper/email",
	"log entries lose their reason":        "requests/kept",
	"log entries lose what was withheld":   "requests/kept",
	"events lose their name":               "events/kept",
	"pending is lost":                      "accounts/kept",
	"since to the millisecond":             "accounts/kept",
	"frozen profiles are lost":             "accounts/kept",
	"found roles are lost":                 "accounts/kept",
	"released accounts are managed":        "accounts/kept",

	"who was linked without roles was not linked": "accounts/kept",

	"tallies lose days": "tally/kept",

	"tallies lose directories without accounts": "tally/kept",

	"tallies are merged":                    "tally/kept",
	"tallies are seen before the commit":    "tally/unseen",
	"readers of the tally wait":             "tally/unseen",
	"transactions count what is committed":  "tally/unseen",
	"rollback keeps the tally":              "tally/rollback",
	"tallies are changed in place":          "tally/immutable",
	"tallies of all tenants":                "tally/isolation",
	"people of all tenants":                 "people/isolation",
	"people stay found":                     "people/changed",
	"people without anything are one":       "people/found",
	"people without the deleted":            "people/found",
	"people of one directory":               "people/found",
	"people by email as written":            "people/found",
	"people by both":                        "people/found",
	"people found twice":                    "people/found",
	"people out of order":                   "people/found",
	"people up to a bound":                  "people/many",
	"transactions find people as they were": "people/transaction",
	"accounts without the deleted":          "accounts/pages",
	"only the held wait":                    "waiting/pages",
	"the released are no accounts":          "accounts/pages",
	"who waited longest comes first":        "waiting/pages",
	"accounts without case":                 "accounts/pages",
	"accounts from after on":                "accounts/pages",
	"accounts without limit":                "waiting/pages",
	"accounts of all directories":           "people/isolation",

	"records are compacted":                  "records/kept",
	"records given are counted":              "records/kept",
	"records are overwritten":                "records/versions",
	"new records are overwritten":            "records/versions",
	"records are made of any version":        "records/versions",
	"records count from zero":                "records/versions",
	"records that are gone are an error":     "records/versions",
	"versions of records without lock":       "records/concurrent",
	"records without limit":                  "records/pages",
	"records from after on":                  "records/pages",
	"records the last first":                 "records/pages",
	"records without case":                   "records/pages",
	"records of any case":                    "records/isolation",
	"records of all kinds":                   "records/isolation",
	"records of all tenants":                 "records/isolation",
	"records are seen before the commit":     "records/transaction",
	"transactions read records as they were": "records/transaction",
	"rollback keeps records":                 "records/transaction",
	"claims of each tenant":                  "claims/one-holder",
	"claims without case":                    "claims/one-holder",
	"claims tell no holder":                  "claims/one-holder",
	"claims once more are refused":           "claims/one-holder",
	"anybody gives up a claim":               "claims/one-holder",
	"claims stay":                            "claims/one-holder",
	"rollback keeps claims":                  "claims/transaction",
	"rollback gives up claims":               "claims/transaction",
	"claims without lock":                    "claims/race",
	"claims are forgotten":                   "reopen/records",
	"tenants from after on":                  "tenants/listed",
	"tenants without limit":                  "tenants/listed",
	"tenants in no order":                    "tenants/listed",
	"tenants without records":                "tenants/listed",
	"tenants whose records are gone":         "tenants/listed",
	"pruning without limit":                  "prune/events",
	"pruning one event more":                 "prune/events",
	"pruning one event less":                 "prune/events",
	"pruning tells nothing":                  "prune/events",
	"rollback prunes":                        "prune/events",
	"pruning no lines":                       "prune/requests",
	"pruning lines of that time":             "prune/requests",

	"bindings do not move":         "bindings/kept",
	"bindings go with their group": "bindings/kept",
}

const impatient = 300 * time.Millisecond

func newFlawedSuite(bug string) *suite {
	return newSuite(func(_ *testing.T, types *scim.Types) scim.Store { return newFlawed(bug, types) }, &Options{patience: impatient})
}

// plain hides the methods that a Store need not have.
type plain struct{ scim.Store }

func newPlainSuite(bug string) *suite {
	return newSuite(func(_ *testing.T, types *scim.Types) scim.Store { return plain{newFlawed(bug, types)} }, &Options{patience: impatient})
}

func newCarelessSuite(bug string) *suite {
	return newSuite(func(_ *testing.T, types *scim.Types) scim.Store { return newCareless(bug, memstore.New(types, nil)) }, &Options{
		patience: impatient, Parallel: true,
		Reopen: func(_ *testing.T, store scim.Store) scim.Store { return store.(*careless).reopened() }, //nolint:forcetypeassert // there is no other
	})
}

// The kit finds what it looks for: every bug is caught by its case, which a
// store without the bug passes.
func TestBugsAreCaught(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		suite func(bug string) *suite
		bugs  map[string]string
	}{{newFlawedSuite, caughtBy}, {newPlainSuite, plainCaughtBy}, {newCarelessSuite, ledgerCaughtBy}} {
		cases := map[string]testCase{}
		for _, c := range kind.suite("").cases(kind.suite("").newStore(t, kitTypes())) {
			require.NotContains(t, cases, c.name, "a name for each case")
			require.NotEmpty(t, c.why, c.name)
			cases[c.name] = c
		}
		for bug, by := range kind.bugs {
			t.Run(bug, func(t *testing.T) {
				t.Parallel()
				c, ok := cases[by]
				require.True(t, ok, "there is no case %s", by)
				failure := kind.suite(bug).check(t, c)
				require.NotEmpty(t, failure, "%s does not catch it", by)
				t.Logf("%s: %s", by, failure)
			})
		}
	}
}

// Without a bug the stores of this test pass every case: what is caught is the
// bug.
func TestStoresWithoutBug(t *testing.T) {
	t.Parallel()
	Run(t, newFlawedSuite("").newStore, &Options{Rounds: 1})
	Run(t, newPlainSuite("").newStore, &Options{Rounds: 1})
	s := newCarelessSuite("")
	Run(t, s.newStore, &Options{Rounds: 1, Parallel: true, Reopen: s.Reopen})
}

// The random searches find bugs too that no case was written for: here those of
// every kind of thing that they do.
func TestSearchesFindBugs(t *testing.T) {
	t.Parallel()
	for bug, search := range map[string]func(seed uint64) testCase{
		"everything matches when sorted":    differential,
		"ne as not eq":                      differential,
		"descending is ascending backwards": differential,
		"value paths as one value each":     differential,
		"position without id":               differential,
		"total counts the page":             differential,
		"times to the second":               differential,
		"groups not looked at":              differential,
		"versions not checked":              histories,
		"userName by case":                  histories,
		"deleted ones stay in groups":       histories,
		"members there are added":           histories,
		"replace is a creation":             histories,
		"deleted ones stay in the index":    histories,
	} {
		t.Run(bug, func(t *testing.T) {
			t.Parallel()
			s := newFlawedSuite(bug)
			failure := ""
			for seed := s.Seed; failure == "" && seed < s.Seed+uint64(s.Rounds); seed++ {
				failure = s.check(t, search(seed))
			}
			require.NotEmpty(t, failure)
		})
	}
}

// A seed that a failure shows finds the same again.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for bug, search := range map[string]testCase{"descending is ascending backwards": differential(7), "versions not checked": histories(7)} {
		times := regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
		first := times.ReplaceAllString(newFlawedSuite(bug).check(t, search), "now")
		require.NotEmpty(t, first)
		require.Equal(t, first, times.ReplaceAllString(newFlawedSuite(bug).check(t, search), "now"))
	}
}

// The seed is taken from the options, else from the environment.
func TestSeeds(t *testing.T) {
	require.Equal(t, uint64(defaultSeed), newSuite(nil, nil).Seed)
	t.Setenv("STORETEST_SEED", "42")
	require.Equal(t, uint64(42), newSuite(nil, nil).Seed)
	require.Equal(t, uint64(7), newSuite(nil, &Options{Seed: 7}).Seed)
}
