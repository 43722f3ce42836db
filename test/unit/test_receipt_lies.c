/* test_receipt_lies.c - what the company itself has signed against its own ledger. */
#include "test_receipt_fixture.h"

static void test_not_even_the_company_can_sign_words_against_the_event(void **state)
{
    static const char *const lies[][2] = {
        {"\"dct:identifier\": \"personal_offers\"", "\"dct:identifier\": \"data_sale\""},
        {"\"dct:identifier\": \"marketing\"", "\"dct:identifier\": \"adnet\""},
        {"\"dct:identifier\": \"contact\"", "\"dct:identifier\": \"location\""},
        {"\"schema:version\": \"1\"", "\"schema:version\": \"2\""},
        {"\"dct:language\": \"sv\"", "\"dct:language\": \"en\""},
        {"\"lov:sha256\": \"", "\"lov:sha256\": \"0"},
        {"dpv:ConsentGiven", "dpv:ConsentRefused"},
        {"\"lov:event\": \"consent.give\"", "\"lov:event\": \"consent.renew\""},
        {"\"dpv:isIndicatedAtTime\": \"2", "\"dpv:isIndicatedAtTime\": \"3"},
        {"\"dpv:hasIndicationMethod\": \"web\"", "\"dpv:hasIndicationMethod\": \"paper\""},
        {"\"lov:expires\": \"2", "\"lov:expires\": \"3"},
        {"\"lov:expires\"", "\"lov:expired\""},
        {"\"dct:created\": \"2", "\"dct:created\": \"3"},
        {"\"lov:text\": \"", "\"lov:text\": \"No. "},
        {"\"lov:status\": \"active\"", "\"lov:status\": \"expired\""},
        {"dpv:DataSubject\"", "dpv:GuardianOfDataSubject\""},
        {"\"dpv:hasProcessing\"", "\"lov:narrowed\": [], \"dpv:hasProcessing\""},
        {"\"dct:modified\": \"2", "\"dct:modified\": \"3"},
        {"dpv:UntilTimeDuration", "dpv:EndlessDuration"},
        {"\"rdf:value\": \"2", "\"rdf:value\": \"3"},
        {"\"dpv:Use\"", "\"dpv:Sell\""},
        {"\"dpv:hasIdentifier\": \"marketing\"", "\"dpv:hasIdentifier\": \"adnet\""},
        /* A name by which a reader of JSON-LD goes. */
        {"urn:lov:recipient:marketing", "urn:lov:recipient:adnet"},
        {"urn:lov:purpose:personal_offers", "urn:lov:purpose:data_sale"},
        {"urn:lov:category:contact", "urn:lov:category:location"},
        {"urn:lov:notice:personal_offers:1", "urn:lov:notice:personal_offers:2"},
        {"urn:lov:consumer:", "urn:lov:consumer:0"},
        {"urn:lov:consent:", "urn:lov:consent:0"},
        {"\"dpv:hasIdentifier\": \"", "\"dpv:hasIdentifier\": \"0"}, /* of the record */
        {"dpv:ConsentNotice\",\n   \"dct:identifier\": \"personal_offers\"",
         "dpv:ConsentNotice\",\n   \"dct:identifier\": \"data_sale\""},
        {"\"dpv:ConsentRecord\"", "\"dpv:Record\""},
        {"dpv-27560#record\"", "dpv-27560#record-eu-gdpr\""},
        {"\"dpv:Consumer\"", "\"dpv:Employee\""},
        {"\"dpv:Process\"", "\"dpv:Service\""},
        {"\"dpv:Purpose\"", "\"dpv:Marketing\""},
        {"\"dpv:Recipient\"", "\"dpv:Authority\""},
        {"\"dpv:ConsentNotice\"", "\"dpv:PrivacyNotice\""},
        /* Said beside what the event says. */
        {"\"dpv:hasProcess\"", "\"https://w3id.org/dpv#hasProcess\": {}, \"dpv:hasProcess\""},
        {"\"lov:status\"", "\"https://w3id.org/dpv#x\": \"y\", \"lov:status\""},
        {"\"rdf:value\"", "\"dct:date\": \"2\", \"rdf:value\""},
        {"\"skos:broader\"", "\"dpv:hasPurpose\": {}, \"skos:broader\""},
        {"\"lov:kind\"", "\"@reverse\": {}, \"lov:kind\""},
        {"\"lov:title\"", "\"dct:title\": {\"sv\": \"x\"}, \"lov:title\""},
        {"\"@type\": \"dpv:Consumer\"", "\"@type\": \"dpv:Consumer\", \"dpv:hasName\": \"Anna\""},
        {"\"@type\": \"dpv:PersonalData\"", "\"@type\": \"dpv:PersonalData\", \"dpv:x\": \"y\""},
        {"\"dpv:hasRight\"", "\"dpv:hasRule\": {}, \"dpv:hasRight\""},
    };
    static const char *const frames[][2] = {
        {"https://w3id.org/dpv#", "https://evil.example/dpv#"},
        {"\"dpv:hasLegalBasis\": {", "\"dpv:ConsentGiven\": \"dpv:ConsentRefused\", \"dpv:x\": {"},
        {"urn:lov:receipt:", "urn:lov:receipt:0"},
        {"\"dpv:ConsentReceipt\"", "\"dpv:ConsentRecord\""},
        {"dpv-27560#receipt", "dpv-27560#receipt-eu-gdpr"},
        {"\"dct:publisher\"", "\"@graph\": [], \"dct:publisher\""},
        {"\"dct:identifier\": \"", "\"dct:identifier\": \"0"},
        {"\"dpv:hasIdentifier\": \"", "\"dpv:hasIdentifier\": \"0"},
    };
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct str r = receipt_of(f, &c);
    finds(f, sign_again(f, r), RECEIPT_PROVEN);
    /* "dct:created" of the receipt itself stands first: the record's is the second. */
    struct str record = {strstr(r.p, "dpv:hasRecordOfActivity"), 0};
    record.n = r.n - (size_t)(record.p - r.p);
    struct str head = {r.p, (size_t)(record.p - r.p)};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct str tail = with(f, record, lies[i][0], lies[i][1]);
        contradicts(f, arena_printf(&f->arena, "%.*s%s", STR_ARG(head), tail.p), lies[i][0]);
    }
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        contradicts(f, with(f, r, frames[i][0], frames[i][1]), frames[i][0]);
}

/* The receipt with a member of the object at `path` set to what the JSON says. */
static struct str with_member(struct fixture *f, struct str receipt, const char *const *path,
                              const char *name, const char *value)
{
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf text = {0};
    assert_int_equal(json_read(receipt, &json, &f->err), 0);
    json_t *object = json;
    for (; *path; path++)
        object = json_object_get(object, *path);
    json_t *item = json_loads(value, JSON_DECODE_ANY, NULL);
    assert_non_null(item);
    assert_int_equal(json_object_set_new(object, name, item), 0);
    json_canonical(json, &text);
    return arena_str(&f->arena, buf_view(&text));
}

#define RECORD "dpv:hasRecordOfActivity"
#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_nothing_is_added_to_what_the_event_says(void **state)
{
    struct fixture *f = *state;
    struct consent no = answer(f, WRITE_REFUSE, "anna");
    struct str r = receipt_of(f, &no);
    const struct {
        const char *const *path;
        const char *name, *value;
    } lies[] = {
        {PATH(RECORD, "dpv:hasConsentStatus"), "lov:expires", "\"2030-01-01T00:00:00.000Z\""},
        {PATH(RECORD, "dpv:hasConsentStatus"), "dpv:isIndicatedBy", "\"dpv:DataController\""},
        {PATH(RECORD, "dpv:hasConsentStatus"), "@type", "[\"dpv:ConsentRefused\"]"},
        {PATH(RECORD, "dpv:hasDataSubject"), "dct:identifier", "\"0\""},
        {PATH(RECORD, "dpv:hasDataSubject"), "dpv:hasIdentifier", "\"0\""},
        {PATH(RECORD, "dpv:hasNotice"), "dct:identifier", "\"data_sale\""},
        {PATH(RECORD, "dpv:hasProcess"), "dpv:hasPersonalData",
         "[{\"@id\":\"urn:lov:category:purchases\",\"dct:identifier\":\"purchases\"},"
         "{\"@id\":\"urn:lov:category:contact\",\"dct:identifier\":\"contact\"},"
         "{\"@id\":\"urn:lov:category:location\",\"dct:identifier\":\"location\"}]"},
        {PATH(RECORD), "dpv:hasProcess", "[{}]"},
        {PATH(RECORD), "dpv:hasConsentStatus", "null"},
        {PATH(NULL), "@graph", "[]"},
    };
    finds(f, sign_again(f, r), RECEIPT_PROVEN);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        contradicts(f, with_member(f, r, lies[i].path, lies[i].name, lies[i].value), lies[i].value);
}

/* A log of another shard that takes over the whole tree: the event says where it belongs. */
static void test_an_event_is_of_one_shard_alone(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct str r = receipt_of(f, &c);
    struct receipt_report report = verify(f, r);
    const struct log_signer *signer = engine_signer(f->e, 0);
    struct ed25519_key public = ed25519_public(&signer->seed);
    struct note_key second;
    _cleanup_buf struct buf quoted = {0};
    struct jw w = {.out = &quoted};
    struct str wrong = with_member(f, r, PATH("proof"), "shard", "1");
    finds(f, sign_again(f, wrong), RECEIPT_NOT_INCLUDED);
    assert_int_equal(
        note_key_make(STR("log.example/shop/1"), NOTE_ED25519, &public, &second, &f->err), 0);
    jw_str(&w, sign_checkpoint_by(f, &second, &signer->seed, report.size, report.root));
    receipt_verify(with_member(f, r, PATH("proof"), "checkpoint", quoted.p), &second, &f->arena,
                   &report);
    assert_int_equal(report.finding, RECEIPT_NOT_INCLUDED);
}

static void test_a_receipt_with_another_checkpoint_or_event_is_not_included(void **state)
{
    struct fixture *f = *state;
    struct consent a = answer(f, WRITE_GIVE, "anna");
    struct str first = receipt_of(f, &a);
    struct consent b = answer(f, WRITE_GIVE, "bo");
    struct str second = receipt_of(f, &b);
    _cleanup_json json_t *one = NULL, *two = NULL;
    static const char *const members[] = {"checkpoint", "event", "hashes", "seq", "leaf"};
    assert_int_equal(json_read(first, &one, &f->err), 0);
    assert_int_equal(json_read(second, &two, &f->err), 0);
    for (size_t i = 0; i < 5; i++) {
        _cleanup_json json_t *mixed = json_deep_copy(one);
        _cleanup_buf struct buf text = {0};
        json_object_set(json_object_get(mixed, "proof"), members[i],
                        json_object_get(json_object_get(two, "proof"), members[i]));
        json_canonical(mixed, &text);
        finds(f, buf_view(&text), RECEIPT_NOT_INCLUDED);
        finds(f, sign_again(f, buf_view(&text)), RECEIPT_NOT_INCLUDED);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_not_even_the_company_can_sign_words_against_the_event),
        T(test_nothing_is_added_to_what_the_event_says),
        T(test_an_event_is_of_one_shard_alone),
        T(test_a_receipt_with_another_checkpoint_or_event_is_not_included),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
