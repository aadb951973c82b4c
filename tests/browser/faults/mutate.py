# Brings old faults back: `python3 mutate.py 1` (or 2) in a checkout of its own. It names what it cannot find.
import sys
# (patch, file, old, new)
M=[]
def m(patch, name, file, old, new, count=1):
    M.append((patch,name,file,old,new,count))

# ---- A1
m(1,"M02 read-back removed","web/js/store.js","    access.flush();\n    check(path, access, bytes);\n","    access.flush();\n")
m(1,"M03 every save in the same place","web/src/engine/saver.rs","(queue.place, queue.number) = (1 - place, queue.number + 1);","(queue.place, queue.number) = (place, queue.number + 1);")
m(1,"M05 a torn job breaks the list","web/src/engine/runs.rs","""                Err(error) => {
                    saves.damaged.push(format!("{folder}/{JOB} is damaged: {error}"));
                    None
                }
""","""                Err(error) => return Err(Told::from(error)),
""")
m(1,"M06 an empty marker loses the model","web/src/engine/models.rs","let only = (places.unlisted.len() == 1)","let only = (places.unlisted.len() == 9)")
m(1,"M08 what a page gives away is transferred","web/js/kindling.js","new Uint8Array(file.bytes).slice() };","new Uint8Array(file.bytes) };")
m(2,"M01 a view instead of a copy","web/src/engine/store.rs","""pub async fn write(path: &str, bytes: &[u8]) -> Result<f64, Told> {
    // A copy: a view into this module's memory would be empty if the memory grew while the file is opened.
    let own = Uint8Array::from(bytes);
""","""#[allow(unsafe_code)]
pub async fn write(path: &str, bytes: &[u8]) -> Result<f64, Told> {
    let own = unsafe { Uint8Array::view(bytes) };
""")
m(2,"M01 and nothing checked","web/js/store.js","""    if (bytes.length !== length) throw new Error(`${path}: ${length} bytes went away before they were written`);
    access.truncate(0);
    for (let at = 0; at < length; ) {
      const written = access.write(bytes.subarray(at), { at });
      if (!(written > 0)) throw new Error(`${path}: the browser wrote ${at} of ${length} bytes`);
      at += written;
    }
    access.flush();
    check(path, access, bytes);
""","""    access.truncate(0);
    access.write(bytes, { at: 0 });
    access.flush();
""")
m(2,"M04 a torn save counts as whole","web/src/engine/places.rs","Some(how) => found.damaged.push(format!(\"{path}/{how}\")),","Some(_) => found.whole.push(Place { place, save }),")
# ---- A2
m(1,"M09a a name is taken from another adapter","web/src/engine/adapters.rs","Ok(free(wanted, |name| taken.iter().any(|taken| taken == name)))","Ok(free(wanted, |name| taken.is_empty() && name.is_empty()))")
m(1,"M09c every result is called lora","web/src/engine/results.rs","_ if training.adapts() => of_data(data, &today()),","_ if training.adapts() => { let _ = of_data(data, &today()); \"lora\".into() }")
m(2,"M09b a name is taken from another model","web/src/engine/models.rs","Ok(free(wanted, |name| taken.iter().any(|(folder, _)| name_of(folder) == name)))","Ok(free(wanted, |name| taken.is_empty() && name.is_empty()))")
m(2,"M11 kept adapters are not listed","web/src/engine/adapters.rs","for Kept { folder, about } in kept {\n            match about {","for Kept { folder, about } in kept.into_iter().take(0) {\n            match about {")
m(1,"M12 what is typed to teach is not kept","web/src/ui/teach.rs","let is_kept = self.noted().store(&self.app.slot.id());","let is_kept = self.app.slot.id() != self.noted().name || self.noted().store(&self.app.slot.id());")
m(1,"M13 leaving asks nothing","web/src/ui/leave.rs","if app.is_unsaved() {","if false && app.is_unsaved() {")
m(1,"M15 the first save comes late","web/src/engine/training.rs","const FIRST_SAVE: f64 = 3.0;","const FIRST_SAVE: f64 = 30.0;")
m(1,"M16 hiding saves nothing","web/src/ui/training.rs","if document.visibility_state() == VisibilityState::Hidden","if document.visibility_state() == VisibilityState::Visible")
m(1,"M20 training goes on beside a hurried save","web/src/engine/training.rs","if self.hurried && self.saver.is_busy() {","if self.hurried && self.saver.is_busy() && paused {")
# ---- A3
m(1,"M17 no epoch","web/src/engine/talk.rs","if acts && self.epoch() == epoch {","if acts && self.epoch() >= epoch {")
# ---- A4
m(1,"M18 a save ends a pause","web/src/engine/training.rs","Wish::Save => save.set(true),","Wish::Save => {\n                paused.set(false);\n                save.set(true);\n            }")
m(2,"M19 paused is not told","web/js/kindling.js","        return paused;\n","        return false;\n")
# ---- A5
m(2,"M14 loading another model asks nothing","web/src/ui/app.rs","!self.training.get() || super::dom","!self.training.get() || !question.is_empty() || super::dom")
m(1,"M10 adapters are dropped silently","web/src/engine/results.rs","if !active.is_empty() {","if active.len() > 1000 {")
m(1,"M22 two tabs take one conversation","web/src/ui/slot.rs","held.map_or(true, |held| held.is_truthy())","held.map_or(true, |_| true)")
m(2,"M23 the cache takes all of the context at once","core/src/model/cache.rs","self.reserved = grown.min(self.capacity);","self.reserved = grown.max(self.capacity).min(self.capacity);")
# ---- B2
m(1,"M24 few rows are seen as often as many","web/src/engine/data.rs","merged(TrainConfig { log_every: 1, ..defaults }, changed)","merged(TrainConfig { log_every: 1, epochs: 2.0, min_steps: 0, ..defaults }, changed)")
m(1,"M26 more steps make another adapter","web/src/engine/resume.rs","Some(_) => take_result(id).await?,","Some(_) => take_result(id).await?.filter(|name| name.is_empty()),")
m(1,"M29 a full run says nothing of its lesson","web/src/engine/training.rs","""            port.tell(&warning(&message));
            None
        });
""","""            port.tell(&warning(&message));
            None
        });
        let lesson = lesson.filter(|_| given.is_adapter);
""")
m(1,"M47 a row's question is asked twice","web/src/engine/lesson.rs","asked.iter().filter(|question| !of_a_row(question))","asked.iter().filter(|question| !of_a_row(question) || !question.is_empty())")
# ---- C1
m(1,"M30 cells of a spreadsheet are a text","web/src/ui/pair_form.rs","if !text.contains('\\t') || text.starts_with('\\t') {","if !text.contains('\\u{1}') || text.starts_with('\\t') {")
m(1,"M31 CSV is not recognised","web/src/ui/paste_field.rs","            (PasteForm::Text, ..) => fill(t.rows.found_plain","            (PasteForm::Csv, ..) => String::new(),\n            (PasteForm::Text, ..) => fill(t.rows.found_plain")
m(1,"M32 errors speak of flags","web/src/language/fields.rs","FIELDS.iter().find(|field| field.0 == name)","FIELDS.iter().find(|field| field.0.len() > 99 && field.0 == name)")
m(1,"M33 errors far from their row","web/src/ui/teach.rs","Err(_) if self.app.model().is_some() && self.data.go_to_fault() => None,","Err(_) if self.app.model().is_none() && self.data.go_to_fault() => None,")
m(1,"M34 form and paste are two lessons","web/src/ui/teach_data.rs","            self.pasted.take_pairs(&self.form.filled());\n","            let _ = self.form.filled();\n")
m(2,"M35 the keyboard is lost with a deleted row","web/src/ui/pair_form.rs","        if let Some(next) = rows.get(at).or(rows.last()) {\n            next.question.focus_quietly();\n        }\n","")
m(1,"M36 texts are read as conversations","web/src/ui/teach.rs","        self.data.read_as(self.settings.reads_texts());\n","        self.data.read_as(false);\n")
# ---- C2
m(2,"M27 Ask it goes on in the old conversation","web/src/ui/chat.rs","        self.renew();\n        self.propose(question);\n","        self.propose(question);\n")
m(1,"M28 the card's questions are not offered","web/src/ui/chat_panel.rs",".filter(|told| !told.is_empty());",".filter(|told| told.len() > 1000);")
# ---- C3
m(1,"M37 a link opens its lesson again and again","web/src/ui/lessons/mod.rs","if once && is_open {","if once && is_open && address.is_empty() {")
m(1,"M39 the open lesson is not kept","web/src/ui/lessons/mod.rs","if !kept.store(&self.app.slot.id()) {","if self.app.slot.id().is_empty() && !kept.store(&self.app.slot.id()) {")
m(1,"M42 a worksheet without questions","web/src/ui/lessons/worksheet.rs","if !version.questions.is_empty() {","if version.questions.is_empty() {")
m(1,"M43 the last student's adapter stays on","web/src/ui/students.rs","if !added.is_empty() {","if added.is_empty() {")
m(1,"M44 named adapters share the cache of what acts","web/src/engine/talk.rs","let acts = matches!(who, Who::Active);","let acts = matches!(who, Who::Active | Who::Only(_));")
m(1,"M45 a lesson of the gallery is not there","web/src/lesson/gallery.rs","name: \"style\"","name: \"styles\"")
m(1,"M46 a link adds its adapter again and again","web/src/ui/address.rs","adapter.fits && Some(adapter.name.as_str()) == known);","adapter.fits && known.is_none() && Some(adapter.name.as_str()) == known);")
m(1,"M41 a lesson of the future is opened","web/src/lesson/read.rs","Some(found) if found != VERSION => {","Some(found) if found == 0 => {")
# ---- C5
m(1,"M40 the engine's errors stay English","web/src/language/errors/mod.rs","match entry(SENTENCES, \": \", &told.code) {","match entry(SENTENCES, \": \", \"never\") {")
m(1,"M48 k in the place of wan","web/src/language/chinese.rs","&[(1.0, \"\"), (1e4, \"万\"), (1e8, \"亿\")]","&[(1.0, \"\"), (1e3, \"k\"), (1e6, \"M\")]")
# ---- D
m(2,"M49 an error without values","web/js/requests.js","    this.values = values;\n","    if (code === undefined) this.values = values;\n")
m(1,"M50 unknown fields are ignored","web/js/requests.js","if (value === undefined || value === null || FIELDS[call].includes(field)) continue;","if (value !== FIELDS || FIELDS[call].includes(field)) continue;")
m(1,"M51 parts that are no text are left out","web/js/requests.js","""  if (part?.type === "text" && typeof part.text === "string") return part.text;""","""  return part?.text ?? "";""")
m(1,"M52 max_completion_tokens is ignored","web/js/requests.js","config.max_new_tokens = max_tokens ?? max_completion_tokens;","config.max_new_tokens = max_tokens ?? undefined;")
m(1,"M53 an abort is any error","web/js/kindling.js","const abort = () => reject(signal.reason);","const abort = () => reject(new Error(\"aborted\"));")
m(1,"M54 a run that was aborted ends well","web/js/kindling.js","const done = signal ? result.then((end) => (signal.throwIfAborted(), end)) : result;","const done = result;")
m(1,"M55 no GGUF goes home","web/src/engine/export.rs","\"model\" if name == \"gguf\" => {","\"model\" if name == \"ggufs\" => {")

# The same where the engine reads what is pasted.
m(1,"M30 cells of a spreadsheet are a text","web/src/ui/pair_form.rs","field.filter(|_| cells::may_be(&pasted))","field.filter(|_| cells::may_be(&pasted) && pasted.is_empty())")
m(1,"M31 CSV is not recognised","web/src/ui/reading.rs","            (PasteForm::Text, _) => fill(t.rows.found_plain","            (PasteForm::Csv, _) => String::new(),\n            (PasteForm::Text, _) => fill(t.rows.found_plain")
m(1,"M34 form and paste are two lessons","web/src/ui/teach_data.rs","own if !to_form => self.pasted.take_pairs(&self.form.filled(), own.as_deref()),","own if !to_form => drop(own),")
m(2,"M14 loading another model asks nothing","web/src/ui/app.rs","!self.training.get() || dom::window()","!self.training.get() || !question.is_empty() || dom::window()")

which=int(sys.argv[1])
import os
done,failed=set(),{}
for patch,name,file,old,new,count in M:
    if patch!=which: continue
    s=open(file).read() if os.path.exists(file) else ""
    if s.count(old)!=count:
        failed[name]=f"{file}: found {s.count(old)} times"
        continue
    open(file,'w').write(s.replace(old,new))
    done.add(name)
print(len(done),"mutations of patch",which)
for name,why in failed.items():
    if name not in done or name.startswith("M01"): print("PROBLEM",name,why)
