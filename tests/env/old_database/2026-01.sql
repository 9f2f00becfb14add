BEGIN TRANSACTION;
CREATE TABLE alembic_version_env (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_env_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version_env" VALUES('0004');
CREATE TABLE alembic_version_leaderboard (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_leaderboard_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version_leaderboard" VALUES('0004');
CREATE TABLE anchors (
	task_version VARCHAR NOT NULL, 
	scale VARCHAR NOT NULL, 
	definition TEXT NOT NULL, 
	PRIMARY KEY (task_version, scale)
);
CREATE TABLE answers (
	scope VARCHAR(100) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (scope, "key")
);
INSERT INTO "answers" VALUES('db177fd1f6770baf','227ba5f2c6c9109fe5c44a0696f393379607493a377f522ee27d9a7ae3227d89','a6a59ac92905eb95e222772e10de49ea4f6d282bf53b8574686774ff9e082bea','{"kind":null,"body":{"ok":true,"observation":"OK: Replaced lines 2..3 with 1 line(s) in pkg/custom.py. Editable range: 2\u20132.\n\n[Current file: pkg/custom.py | editable: 2\u20132 | total: 3 lines]\n     2  \u00e9 = ''\u00fc''","editable":[[2,2]],"total_lines":3,"revision":1}}');
INSERT INTO "answers" VALUES('db177fd1f6770baf','08f225fe08e94a5b1da2da4079fcd1a7647d375cc95624a6c6d65a6fc84b3243','c763b6b06b4c6367535b9611371a02e9ba4814747c070faf582db1308d44e0fe','{"kind":null,"body":{"ok":true,"observation":"[Test #1] queued (2 tests remaining). Its result: GET /v1/sessions/db177fd1f6770baf/tests/1?wait=60, until the status is final.","editable":[[2,4]],"total_lines":5,"revision":3,"test":{"n":1,"status":"queued","tests_remaining":2}}}');
CREATE TABLE result_columns (
	task_id VARCHAR NOT NULL, 
	scale VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	PRIMARY KEY (task_id, scale, kind, name)
);
INSERT INTO "result_columns" VALUES('tiny','tiny','metric','val_loss_gpt',0);
INSERT INTO "result_columns" VALUES('tiny','tiny','metric','wikitext2_ppl_gpt',1);
INSERT INTO "result_columns" VALUES('tiny','tiny','metric','lambada_ppl_gpt',2);
INSERT INTO "result_columns" VALUES('tiny','tiny','elapsed','elapsed_gpt',0);
CREATE TABLE result_texts (
	run_key VARCHAR NOT NULL, 
	record TEXT NOT NULL, 
	code TEXT NOT NULL, 
	PRIMARY KEY (run_key), 
	FOREIGN KEY(run_key) REFERENCES results (run_key)
);
INSERT INTO "result_texts" VALUES('db177fd1f6770baf-1','{"code_sha256": {"pkg/custom.py": "96adcbe125e0133d2000d68a06d8d642e2235c07daa3b5254a36cbe39e652beb"}, "template_sha256": "7b25a71a24fef1753ab24a79ff01e056ef9620496f6c94c5306c79365b13fdc2", "template_unmodified": false, "parameters": {"counted": 102034, "cap": 1000000000}, "checkpoint_sha256": "d9aeb075a1a27048334cd536c5ba768d3aac27e8b5ef99905ee6bea319c41d8a", "audits": [{"run": "db177fd1f6770baf-1-1-0", "name": "parameters", "passed": true, "figure": 102034.0, "limit": 1000000000.0, "unit": "parameters", "samples": 512, "where": ""}, {"run": "db177fd1f6770baf-1-1-0", "name": "commitment", "passed": true, "figure": 1e-07, "limit": 0.001, "unit": "nats", "samples": 512, "where": ""}], "self_reported": {"steps_reported": 3, "steps_expected": 3, "first_val_loss": null, "uniform_loss": 10.82490511970208, "last_val_loss": 2.289, "evaluated_val_loss": 2.289}, "ringfence": "0.1.0", "world_size": 1, "settings": {"SEED": "42", "MAX_ITERS": "3", "VOCAB_SIZE": "50257"}, "machine": {"cpu": "none", "gpus": "none", "python": "3.11.7", "torch": "none", "runner": "fake"}, "devices": ["slot-0"], "runs": [{"run": "db177fd1f6770baf-1-0-0", "stage": "gpt", "status": "succeeded", "reason": "", "note": "", "started_at": 1795631432.7811577, "ended_at": 1795631432.7841578, "elapsed_s": 0.003, "baseline_s": null, "slowdown": null, "details": {}}, {"run": "db177fd1f6770baf-1-1-0", "stage": "gpt", "status": "succeeded", "reason": "", "note": "", "started_at": 1795631432.8343873, "ended_at": 1795631432.8353872, "elapsed_s": 0.001, "baseline_s": null, "slowdown": null, "details": {"val_tokens": 65536.0}}]}','{"pkg/custom.py": "# A script\nA = 1\nB = 2\n# one\nprint(A)\n"}');
INSERT INTO "result_texts" VALUES('db177fd1f6770baf-2','{"code_sha256": {"pkg/custom.py": "669c40a41c1539369f2510f658f06c79486df5b171e3e475b30b48702a0be6b2"}, "template_sha256": "7b25a71a24fef1753ab24a79ff01e056ef9620496f6c94c5306c79365b13fdc2", "template_unmodified": false, "parameters": {"counted": 101310, "cap": 1000000000}, "checkpoint_sha256": "7818dd10fb53315b508d39666cc4a822ab2e075a1892f84292c5f5224575ceb4", "audits": [{"run": "db177fd1f6770baf-2-1-0", "name": "parameters", "passed": true, "figure": 101310.0, "limit": 1000000000.0, "unit": "parameters", "samples": 512, "where": ""}, {"run": "db177fd1f6770baf-2-1-0", "name": "commitment", "passed": false, "figure": 0.75, "limit": 0.001, "unit": "nats", "samples": 512, "where": ""}], "self_reported": {"steps_reported": 3, "steps_expected": 3, "first_val_loss": null, "uniform_loss": 10.82490511970208, "last_val_loss": 2.3107, "evaluated_val_loss": null}, "ringfence": "0.1.0", "world_size": 1, "settings": {"SEED": "42", "MAX_ITERS": "3", "VOCAB_SIZE": "50257"}, "machine": {"cpu": "none", "gpus": "none", "python": "3.11.7", "torch": "none", "runner": "fake"}, "devices": ["slot-1"], "runs": [{"run": "db177fd1f6770baf-2-0-0", "stage": "gpt", "status": "succeeded", "reason": "", "note": "", "started_at": 1795631432.896776, "ended_at": 1795631432.899776, "elapsed_s": 0.003, "baseline_s": null, "slowdown": null, "details": {}}, {"run": "db177fd1f6770baf-2-1-0", "stage": "gpt", "status": "rejected", "reason": "commitment: off by 0.75 nats, the limit is 0.001, as asked for", "note": "", "started_at": 1795631432.949247, "ended_at": 1795631432.9502468, "elapsed_s": 0.001, "baseline_s": null, "slowdown": null, "details": {"val_tokens": 65536.0}}]}','{"pkg/custom.py": "# A script\nA = 1\nB = 2\n# fake: evaluate.reject\nprint(A)\n"}');
INSERT INTO "result_texts" VALUES('db177fd1f6770baf-3','{"code_sha256": {"pkg/custom.py": "354552f3b265d8869e4bdf219e809e7dc18b4a75e884bf48e041e301db54bfbf"}, "template_sha256": "7b25a71a24fef1753ab24a79ff01e056ef9620496f6c94c5306c79365b13fdc2", "template_unmodified": false, "parameters": {"counted": null, "cap": 1000000000}, "checkpoint_sha256": null, "audits": [], "self_reported": {"steps_reported": 3, "steps_expected": 3, "first_val_loss": null, "uniform_loss": 10.82490511970208, "last_val_loss": null, "evaluated_val_loss": null}, "ringfence": "0.1.0", "world_size": 1, "settings": {"SEED": "42", "MAX_ITERS": "3", "VOCAB_SIZE": "50257"}, "machine": {"cpu": "none", "gpus": "none", "python": "3.11.7", "torch": "none", "runner": "fake"}, "devices": ["slot-0"], "runs": [{"run": "db177fd1f6770baf-3-0-0", "stage": "gpt", "status": "diverged", "reason": "loss is not finite at step 2; training was stopped early", "note": "", "started_at": 1795631433.0093346, "ended_at": 1795631433.0123346, "elapsed_s": 0.003, "baseline_s": null, "slowdown": null, "details": {}}]}','{"pkg/custom.py": "# A script\nA = 1\nB = 2\n# fake: nan\nprint(A)\n"}');
INSERT INTO "result_texts" VALUES('5165f94d9188f623-1','{"code_sha256": {"pkg/custom.py": "fd888fbfaff10db4e41559debb0fbf3654473d44eb33a6f981425702caa46d20"}, "template_sha256": "7b25a71a24fef1753ab24a79ff01e056ef9620496f6c94c5306c79365b13fdc2", "template_unmodified": false, "parameters": {"counted": null, "cap": 1000000000}, "checkpoint_sha256": null, "audits": [], "self_reported": {"steps_reported": null, "steps_expected": 3, "first_val_loss": null, "uniform_loss": 10.82490511970208, "last_val_loss": null, "evaluated_val_loss": null}, "ringfence": "0.1.0", "world_size": 1, "settings": {"SEED": "42", "MAX_ITERS": "3", "VOCAB_SIZE": "50257"}, "machine": {"cpu": "none", "gpus": "none", "python": "3.11.7", "torch": "none", "runner": "fake"}, "devices": ["slot-1"], "runs": [{"run": "5165f94d9188f623-1-0-0", "stage": "gpt", "status": "failed", "reason": "exit=1", "note": "", "started_at": 1795631433.072262, "ended_at": 1795631433.073762, "elapsed_s": 0.001, "baseline_s": null, "slowdown": null, "details": {}}]}','{"pkg/custom.py": "# A script\nA = 1\nB = 2\n# fake: exit=1\nprint(A)\n"}');
CREATE TABLE result_values (
	run_key VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	value DOUBLE, 
	PRIMARY KEY (run_key, kind, name), 
	FOREIGN KEY(run_key) REFERENCES results (run_key)
)
 WITHOUT ROWID

;
INSERT INTO "result_values" VALUES('5165f94d9188f623-1','elapsed','elapsed_gpt',0,0.001);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-1','elapsed','elapsed_gpt',0,0.004);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-1','metric','lambada_ppl_gpt',2,69.0541);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-1','metric','val_loss_gpt',0,2.289);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-1','metric','wikitext2_ppl_gpt',1,45.3784);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-2','elapsed','elapsed_gpt',0,0.004);
INSERT INTO "result_values" VALUES('db177fd1f6770baf-3','elapsed','elapsed_gpt',0,0.003);
CREATE TABLE results (
	run_key VARCHAR NOT NULL, 
	task_id VARCHAR NOT NULL, 
	agent VARCHAR NOT NULL, 
	session_id VARCHAR NOT NULL, 
	test INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	scale VARCHAR NOT NULL, 
	seed BIGINT, 
	finished_at DATETIME NOT NULL, 
	task_version VARCHAR NOT NULL, code_sha256 VARCHAR DEFAULT '' NOT NULL, template_unmodified BOOLEAN DEFAULT 0 NOT NULL, parameters BIGINT, duplicate_of VARCHAR, 
	PRIMARY KEY (run_key)
);
INSERT INTO "results" VALUES('db177fd1f6770baf-1','tiny','agent one','db177fd1f6770baf',1,'succeeded','tiny',42,'2026-01-01 12:00:18.123456','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','a3a42b489e262dd33044cc0933a923a335daaab1265fa2de6a086b005851412c',0,102034,NULL);
INSERT INTO "results" VALUES('db177fd1f6770baf-2','tiny','agent one','db177fd1f6770baf',2,'rejected','tiny',42,'2026-01-01 12:00:27.123456','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','db18e0380035a3df4b2792a5e60136c6c8f2180ef9b9515411236d53760ea9ae',0,101310,NULL);
INSERT INTO "results" VALUES('db177fd1f6770baf-3','tiny','agent one','db177fd1f6770baf',3,'diverged','tiny',42,'2026-01-01 12:00:36.123456','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','c1c040c7048ddee043a2ed413f600dd4fbdeb431f277f2370c614122b62a540f',0,NULL,NULL);
INSERT INTO "results" VALUES('5165f94d9188f623-1','tiny','agent two','5165f94d9188f623',1,'failed','tiny',42,'2026-01-01 12:00:49.623456','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','85d3a1cd54ece558b10b5e248c420dde2374711da44558a4cb98eceb7989e660',0,NULL,NULL);
CREATE TABLE runs (
	run_id VARCHAR(100) NOT NULL, 
	session_id VARCHAR(32) NOT NULL, 
	n INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	label VARCHAR(64) NOT NULL, 
	script VARCHAR(200) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	started_at FLOAT, 
	ended_at FLOAT, 
	reason TEXT NOT NULL, 
	output TEXT NOT NULL, 
	series TEXT NOT NULL, 
	metrics TEXT NOT NULL, note TEXT DEFAULT '' NOT NULL, evaluation TEXT, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(session_id, n) REFERENCES tests (session_id, n)
);
INSERT INTO "runs" VALUES('db177fd1f6770baf-1-0-0','db177fd1f6770baf',1,0,'gpt','gpt.sh','succeeded',1.79563143278115773201e+09,1.79563143278415775303e+09,'','','[[1,6.8793,6.8693],[2,3.5975,3.5875],[3,2.299,2.289]]','{}','',NULL);
INSERT INTO "runs" VALUES('db177fd1f6770baf-1-1-0','db177fd1f6770baf',1,1,'gpt','gpt.sh','succeeded',1.79563143283438730237e+09,1.79563143283538722994e+09,'','','[]','{"val_loss":2.289,"wikitext2_ppl":45.3784,"lambada_ppl":69.0541}','','{"parameters":102034,"checkpoint_sha256":"d9aeb075a1a27048334cd536c5ba768d3aac27e8b5ef99905ee6bea319c41d8a","audits":[{"name":"parameters","passed":true,"figure":102034.0,"limit":1000000000.0,"unit":"parameters","samples":512,"where":""},{"name":"commitment","passed":true,"figure":1e-07,"limit":0.001,"unit":"nats","samples":512,"where":""}],"details":{"val_tokens":65536.0}}');
INSERT INTO "runs" VALUES('db177fd1f6770baf-2-0-0','db177fd1f6770baf',2,0,'gpt','gpt.sh','succeeded',1.79563143289677596085e+09,1.79563143289977598191e+09,'','','[[1,6.8894,6.8794],[2,3.6159,3.6059],[3,2.3207,2.3107]]','{}','',NULL);
INSERT INTO "runs" VALUES('db177fd1f6770baf-2-1-0','db177fd1f6770baf',2,1,'gpt','gpt.sh','rejected',1.79563143294924688342e+09,1.7956314329502468109e+09,'commitment: off by 0.75 nats, the limit is 0.001, as asked for','','[]','{}','','{"parameters":101310,"checkpoint_sha256":"7818dd10fb53315b508d39666cc4a822ab2e075a1892f84292c5f5224575ceb4","audits":[{"name":"parameters","passed":true,"figure":101310.0,"limit":1000000000.0,"unit":"parameters","samples":512,"where":""},{"name":"commitment","passed":false,"figure":0.75,"limit":0.001,"unit":"nats","samples":512,"where":""}],"details":{"val_tokens":65536.0}}');
INSERT INTO "runs" VALUES('db177fd1f6770baf-3-0-0','db177fd1f6770baf',3,0,'gpt','gpt.sh','diverged',1.79563143300933456426e+09,1.79563143301233458515e+09,'loss is not finite at step 2; training was stopped early','','[[1,6.8746,6.8646],[2,null,null],[3,null,null]]','{}','',NULL);
INSERT INTO "runs" VALUES('5165f94d9188f623-1-0-0','5165f94d9188f623',1,0,'gpt','gpt.sh','failed',1.79563143307226204875e+09,1.79563143307376194002e+09,'exit=1','Traceback (most recent call last):
  File "pkg/custom.py", line 1, in <module>
    main()
RuntimeError: this run was asked to fail','[]','{}','',NULL);
INSERT INTO "runs" VALUES('5165f94d9188f623-2-0-1','5165f94d9188f623',2,0,'gpt','gpt.sh','infra_failed',1.79563143318462896348e+09,1.79563143318612885475e+09,'lost by the runner: as asked for','','[]','{}','',NULL);
CREATE TABLE sessions (
	id VARCHAR(32) NOT NULL, 
	task_version VARCHAR(64) NOT NULL, 
	agent VARCHAR(200) NOT NULL, 
	scale VARCHAR(64), 
	metadata TEXT NOT NULL, 
	token_sha256 VARCHAR(64) NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	submitted_test INTEGER, 
	submitted_at VARCHAR(32), seed BIGINT, closed_at VARCHAR(32), closed_reason TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_version) REFERENCES task_versions (version)
);
INSERT INTO "sessions" VALUES('db177fd1f6770baf','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','agent one','tiny','{"note":"na\u00efve \ud800 \u0000 text","deep":[1,{"x":null}],"f":0.1}','f92133394c5101e0ca241d4b0f544dc76d34c4999365160c1c19ec380edaaba5','2026-01-01T12:00:03.123Z',1,'2026-01-01T12:00:37.623Z',NULL,NULL,NULL);
INSERT INTO "sessions" VALUES('5165f94d9188f623','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','agent two','tiny','{}','a02ed73c6d6890396766a7a20800cfec02aad67c2e0464f50d825ec62c046f62','2026-01-01T12:00:40.623Z',NULL,NULL,NULL,'2026-01-02T18:01:06.123Z','no call came for 24 h');
INSERT INTO "sessions" VALUES('57cc1639e591a2c7','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','baseline:template','tiny','{}','4cc1cf48f4491afc3044f21d2aa3b9782dbbb07afad7deacb6f52b007a7706ca','2026-01-01T12:01:04.623Z',NULL,NULL,7,'2026-01-02T18:01:06.123Z','no call came for 24 h');
INSERT INTO "sessions" VALUES('d2f2b1d448c41cf9','7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','agent three','tiny','{}','7163355a9138d4036440716ead4da07ab029169172296248c0fae3a9ccd80837','2026-01-02T18:01:07.623Z',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE steps (
	session_id VARCHAR(32) NOT NULL, 
	seq INTEGER NOT NULL, 
	tool VARCHAR(32) NOT NULL, 
	input TEXT NOT NULL, 
	ok BOOLEAN NOT NULL, 
	code VARCHAR(64), 
	observation TEXT NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	test INTEGER, 
	editables TEXT, 
	undone INTEGER NOT NULL, 
	PRIMARY KEY (session_id, seq), 
	FOREIGN KEY(session_id) REFERENCES sessions (id)
);
INSERT INTO "steps" VALUES('db177fd1f6770baf',1,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–3 | total: 4 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  print(A)','2026-01-01T12:00:04.623Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',2,'edit','{"op":"str_replace","old_str":"nope","new_str":"x"}',0,'not_found','ERROR: old_str does not occur in the file; it must match exactly, indentation included. You may only edit lines 2–3.','2026-01-01T12:00:06.123Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',3,'edit','{"start_line":2,"end_line":3,"content":"\u00e9 = ''\u00fc''"}',1,NULL,'OK: Replaced lines 2..3 with 1 line(s) in pkg/custom.py. Editable range: 2–2.

[Current file: pkg/custom.py | editable: 2–2 | total: 3 lines]
     2  é = ''ü''','2026-01-01T12:00:07.623Z',NULL,'{"pkg/custom.py":[["\u00e9 = ''\u00fc''"]]}',0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',4,'undo','{"n":1}',1,NULL,'OK: Undid 1 edit(s) in pkg/custom.py. Editable range: 2–3.

[Current file: pkg/custom.py | editable: 2–3 | total: 4 lines]
     2  A = 1
     3  B = 2','2026-01-01T12:00:09.123Z',NULL,NULL,1);
INSERT INTO "steps" VALUES('db177fd1f6770baf',5,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–3 | total: 4 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  print(A)','2026-01-01T12:00:10.623Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',6,'edit','{"start_line":2,"end_line":3,"content":"A = 1\nB = 2\n# one"}',1,NULL,'OK: Replaced lines 2..3 with 3 line(s) in pkg/custom.py. Editable range: 2–4.

[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     2  A = 1
     3  B = 2
     4  # one','2026-01-01T12:00:12.123Z',NULL,'{"pkg/custom.py":[["A = 1","B = 2","# one"]]}',0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',7,'test','{}',1,NULL,'[Test #1] queued (2 tests remaining). Its result: GET /v1/sessions/db177fd1f6770baf/tests/1?wait=60, until the status is final.','2026-01-01T12:00:15.123Z',1,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',8,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  # one
     5  print(A)','2026-01-01T12:00:19.623Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',9,'edit','{"start_line":2,"end_line":4,"content":"A = 1\nB = 2\n# fake: evaluate.reject"}',1,NULL,'OK: Replaced lines 2..4 with 3 line(s) in pkg/custom.py. Editable range: 2–4.

[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     2  A = 1
     3  B = 2
     4  # fake: evaluate.reject','2026-01-01T12:00:21.123Z',NULL,'{"pkg/custom.py":[["A = 1","B = 2","# fake: evaluate.reject"]]}',0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',10,'test','{}',1,NULL,'[Test #2] queued (1 test remaining). Its result: GET /v1/sessions/db177fd1f6770baf/tests/2?wait=60, until the status is final.','2026-01-01T12:00:24.123Z',2,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',11,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  # fake: evaluate.reject
     5  print(A)','2026-01-01T12:00:28.623Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',12,'edit','{"start_line":2,"end_line":4,"content":"A = 1\nB = 2\n# fake: nan"}',1,NULL,'OK: Replaced lines 2..4 with 3 line(s) in pkg/custom.py. Editable range: 2–4.

[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     2  A = 1
     3  B = 2
     4  # fake: nan','2026-01-01T12:00:30.123Z',NULL,'{"pkg/custom.py":[["A = 1","B = 2","# fake: nan"]]}',0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',13,'test','{}',1,NULL,'[Test #3] queued (0 tests remaining). Its result: GET /v1/sessions/db177fd1f6770baf/tests/3?wait=60, until the status is final.','2026-01-01T12:00:33.123Z',3,NULL,0);
INSERT INTO "steps" VALUES('db177fd1f6770baf',14,'submit','{"n":1}',1,NULL,'[submit] Submitting result from test #1 as final.

### gpt (gpt.sh)
Training metrics (last steps):
TRAIN_METRICS: step=1, train_loss=6.8793, val_loss=6.8693
TRAIN_METRICS: step=2, train_loss=3.5975, val_loss=3.5875
TRAIN_METRICS: step=3, train_loss=2.2990, val_loss=2.2890
Final metrics (gpt): val_loss_gpt=2.2890, wikitext2_ppl_gpt=45.3784, lambada_ppl_gpt=69.0541

[submit] Finalized test #1 as final.

[Leaderboard] Results saved: {''val_loss_gpt'': 2.289, ''wikitext2_ppl_gpt'': 45.3784, ''lambada_ppl_gpt'': 69.0541, ''elapsed_gpt'': 0}','2026-01-01T12:00:39.123Z',1,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',1,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–3 | total: 4 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  print(A)','2026-01-01T12:00:42.123Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',2,'edit','{"start_line":2,"end_line":3,"content":"A = 1\nB = 2\n# fake: exit=1"}',1,NULL,'OK: Replaced lines 2..3 with 3 line(s) in pkg/custom.py. Editable range: 2–4.

[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     2  A = 1
     3  B = 2
     4  # fake: exit=1','2026-01-01T12:00:43.623Z',NULL,'{"pkg/custom.py":[["A = 1","B = 2","# fake: exit=1"]]}',0);
INSERT INTO "steps" VALUES('5165f94d9188f623',3,'test','{}',1,NULL,'[Test #1] queued (2 tests remaining). Its result: GET /v1/sessions/5165f94d9188f623/tests/1?wait=60, until the status is final.','2026-01-01T12:00:46.623Z',1,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',4,'view','{}',1,NULL,'[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     1  # A script
     2  A = 1
     3  B = 2
     4  # fake: exit=1
     5  print(A)','2026-01-01T12:00:51.123Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',5,'edit','{"start_line":2,"end_line":4,"content":"A = 1\nB = 2\n# fake: lost"}',1,NULL,'OK: Replaced lines 2..4 with 3 line(s) in pkg/custom.py. Editable range: 2–4.

[Current file: pkg/custom.py | editable: 2–4 | total: 5 lines]
     2  A = 1
     3  B = 2
     4  # fake: lost','2026-01-01T12:00:52.623Z',NULL,'{"pkg/custom.py":[["A = 1","B = 2","# fake: lost"]]}',0);
INSERT INTO "steps" VALUES('5165f94d9188f623',6,'test','{}',1,NULL,'[Test #2] queued (1 test remaining). Its result: GET /v1/sessions/5165f94d9188f623/tests/2?wait=60, until the status is final.','2026-01-01T12:00:55.623Z',2,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',7,'test','{}',1,NULL,'[Test #3] queued (1 test remaining). Its result: GET /v1/sessions/5165f94d9188f623/tests/3?wait=60, until the status is final.','2026-01-01T12:01:01.623Z',3,NULL,0);
INSERT INTO "steps" VALUES('5165f94d9188f623',8,'close','{}',1,NULL,'[close] No call came for 24 h, and no test has succeeded: closed without a submission.','2026-01-02T18:01:06.123Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('57cc1639e591a2c7',1,'close','{}',1,NULL,'[close] No call came for 24 h, and no test has succeeded: closed without a submission.','2026-01-02T18:01:06.123Z',NULL,NULL,0);
INSERT INTO "steps" VALUES('d2f2b1d448c41cf9',1,'test','{}',1,NULL,'[Test #1] queued (2 tests remaining). Its result: GET /v1/sessions/d2f2b1d448c41cf9/tests/1?wait=60, until the status is final.','2026-01-02T18:01:10.623Z',1,NULL,0);
CREATE TABLE submissions (
	session_id VARCHAR NOT NULL, 
	run_key VARCHAR NOT NULL, 
	submitted_at DATETIME NOT NULL, auto_submitted BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (session_id), 
	UNIQUE (run_key), 
	FOREIGN KEY(run_key) REFERENCES results (run_key)
);
INSERT INTO "submissions" VALUES('db177fd1f6770baf','db177fd1f6770baf-1','2026-01-01 12:00:37.623456',0);
CREATE TABLE task_versions (
	version VARCHAR(64) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	definition TEXT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "task_versions" VALUES('7dfbf57bd2676c12b2f6a7fe6ff37bf6ba4f3a0de1527f6917a47de76b587d44','tiny','{"id":"tiny","title":"A small task","description":"A small task","filename":"pkg/custom.py","text":"# A script\nA = 1\nB = 2\nprint(A)\n","editable":[[2,3]],"scales":{"tiny":{"name":"tiny","stages":[{"label":"gpt","script":"gpt.sh","script_text":"true\n","role":"train","timeout_s":60.0}],"settings":{"SEED":"42","MAX_ITERS":"3","VOCAB_SIZE":"50257"},"data":{},"evaluation_data":{},"world_size":1,"memory_mb":8192,"max_parameters":1000000000,"summary":""}},"budget":{"tests":3,"steps":0,"checks":10},"allow_create":false,"override_keys":[],"max_file_bytes":65536}');
CREATE TABLE tests (
	session_id VARCHAR(32) NOT NULL, 
	n INTEGER NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	files TEXT NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	started_at VARCHAR(32), 
	ended_at VARCHAR(32), 
	cancel_requested BOOLEAN NOT NULL, 
	refunded BOOLEAN NOT NULL, 
	observation TEXT, devices TEXT DEFAULT '[]' NOT NULL, 
	PRIMARY KEY (session_id, n), 
	FOREIGN KEY(session_id) REFERENCES sessions (id)
);
INSERT INTO "tests" VALUES('db177fd1f6770baf',1,'succeeded','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# one\nprint(A)\n"}','2026-01-01T12:00:13.623Z','2026-01-01T12:00:16.623Z','2026-01-01T12:00:18.123Z',0,0,'[Test #1] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)

### gpt (gpt.sh)
Training metrics (last steps):
TRAIN_METRICS: step=1, train_loss=6.8793, val_loss=6.8693
TRAIN_METRICS: step=2, train_loss=3.5975, val_loss=3.5875
TRAIN_METRICS: step=3, train_loss=2.2990, val_loss=2.2890
Final metrics (gpt): val_loss_gpt=2.2890, wikitext2_ppl_gpt=45.3784, lambada_ppl_gpt=69.0541

[Leaderboard] Results saved: {''val_loss_gpt'': 2.289, ''wikitext2_ppl_gpt'': 45.3784, ''lambada_ppl_gpt'': 69.0541, ''elapsed_gpt'': 0}','["slot-0"]');
INSERT INTO "tests" VALUES('db177fd1f6770baf',2,'rejected','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# fake: evaluate.reject\nprint(A)\n"}','2026-01-01T12:00:22.623Z','2026-01-01T12:00:25.623Z','2026-01-01T12:00:27.123Z',0,0,'[Test #2] (1 test remaining; call submit(n=N) to choose which test result to submit as final)

### gpt (gpt.sh)
[REJECTED commitment: off by 0.75 nats, the limit is 0.001, as asked for]
Training metrics (last steps):
TRAIN_METRICS: step=1, train_loss=6.8894, val_loss=6.8794
TRAIN_METRICS: step=2, train_loss=3.6159, val_loss=3.6059
TRAIN_METRICS: step=3, train_loss=2.3207, val_loss=2.3107

[Leaderboard] Results saved: {''elapsed_gpt'': 0}','["slot-1"]');
INSERT INTO "tests" VALUES('db177fd1f6770baf',3,'diverged','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# fake: nan\nprint(A)\n"}','2026-01-01T12:00:31.623Z','2026-01-01T12:00:34.623Z','2026-01-01T12:00:36.123Z',0,0,'[Test #3] (0 tests remaining; call submit(n=N) to choose which test result to submit as final)

[NOTE] This was your last test. You MUST now call submit(n=X) to choose which test result to submit as your final answer.

### gpt (gpt.sh)
[DIVERGED loss is not finite at step 2; training was stopped early]
Training metrics (last steps):
TRAIN_METRICS: step=1, train_loss=6.8746, val_loss=6.8646
TRAIN_METRICS: step=2, train_loss=nan, val_loss=nan
TRAIN_METRICS: step=3, train_loss=nan, val_loss=nan

[Leaderboard] Results saved: {''elapsed_gpt'': 0}','["slot-0"]');
INSERT INTO "tests" VALUES('5165f94d9188f623',1,'failed','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# fake: exit=1\nprint(A)\n"}','2026-01-01T12:00:45.123Z','2026-01-01T12:00:48.123Z','2026-01-01T12:00:49.623Z',0,0,'[Test #1] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)

### gpt (gpt.sh)
[COMMAND FAILED exit=1]
Traceback (most recent call last):
  File "pkg/custom.py", line 1, in <module>
    main()
RuntimeError: this run was asked to fail

[Leaderboard] Results saved: {''elapsed_gpt'': 0}','["slot-1"]');
INSERT INTO "tests" VALUES('5165f94d9188f623',2,'infra_failed','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# fake: lost\nprint(A)\n"}','2026-01-01T12:00:54.123Z','2026-01-01T12:00:57.123Z','2026-01-01T12:00:58.623Z',0,1,'[Test #2] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)

[NOTE] Test #2 was not counted: the infrastructure failed, not your code. It does not reduce your budget of 3.

### gpt (gpt.sh)
[INFRASTRUCTURE FAILURE lost by the runner: as asked for]','["slot-0"]');
INSERT INTO "tests" VALUES('5165f94d9188f623',3,'cancelled','{"pkg/custom.py":"# A script\nA = 1\nB = 2\n# fake: lost\nprint(A)\n"}','2026-01-01T12:01:00.123Z',NULL,'2026-01-01T12:01:03.123Z',0,1,'[Test #3] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)

[NOTE] Test #3 was not counted: it was cancelled before it started. It does not reduce your budget of 3.

Cancelled before it started.','[]');
INSERT INTO "tests" VALUES('d2f2b1d448c41cf9',1,'queued','{"pkg/custom.py":"# A script\nA = 1\nB = 2\nprint(A)\n"}','2026-01-02T18:01:09.123Z',NULL,NULL,0,0,NULL,'[]');
CREATE INDEX tests_by_status ON tests (status, created_at);
CREATE INDEX runs_by_test ON runs (session_id, n, position);
CREATE INDEX results_by_scale ON results (task_id, scale, status);
CREATE INDEX results_by_status ON results (task_id, status);
CREATE INDEX results_by_agent ON results (task_id, agent);
CREATE INDEX results_by_code ON results (code_sha256, task_version, scale);
CREATE INDEX results_by_session ON results (task_id, scale, session_id);
CREATE INDEX results_by_time ON results (task_id, scale, finished_at);
CREATE INDEX result_values_by_value ON result_values (kind, name, value);
COMMIT;
